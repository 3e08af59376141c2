"""Microsoft's v2.0 token endpoint, over TLS. The rule here: an application that says its own secret gets a token for storage, and no other."""

import base64
import http.server
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_AUDIENCE = "https://storage.azure.com"


@dataclass(frozen=True)
class Entra:
    url: str
    tenant: str = "8d1a3b4c-0000-4000-8000-0123456789ab"
    client: str = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
    secret: str = "hush-hush"

    @property
    def credential(self) -> dict[str, str]:
        """As the API spells it."""
        kind = {"credentialType": "azure_service_principal", "azureTenantId": self.tenant}
        return {**kind, "clientId": self.client, "clientSecret": self.secret}

    def token(self) -> str:
        """What Azurite wants to see in one; it does not look at the signature."""
        now = int(time.time())
        claims = {
            "aud": _AUDIENCE,
            "iss": f"https://sts.windows.net/{self.tenant}/",
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + 3600,
            "ver": "1.0",
        }
        return ".".join(_coded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims)) + "." + _coded(b"signature")

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        wanted = {"grant_type": "client_credentials", "client_id": self.client, "scope": f"{_AUDIENCE}/.default"}
        if path != f"/{self.tenant}/oauth2/v2.0/token" or not wanted.items() <= form.items():
            return 400, {"error": "invalid_request", "error_description": "AADSTS90002: Tenant not found."}
        if form.get("client_secret") != self.secret:
            return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
        return 200, {"access_token": self.token(), "expires_in": 3599, "ext_expires_in": 3599, "token_type": "Bearer"}


def _coded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextmanager
def running_entra(certificate: Path) -> Iterator[Entra]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            status, answer = entra.answer(self.path, form)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    entra = Entra(f"https://127.0.0.1:{server.server_address[1]}")
    try:
        yield entra
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
