"""Google's token endpoint, for keys of service accounts. The rule here: a token is given for what the account's own key has signed, only."""

import base64
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


@dataclass
class Keys:
    """`given` counts the tokens."""

    token_uri: str
    given: int = 0
    _public: rsa.RSAPublicKey | None = field(default=None, repr=False)

    def account(self, project: str = "project") -> dict[str, str]:
        """The JSON of a key; the last one is what the endpoint knows."""
        private = rsa.generate_private_key(65537, 2048)
        self._public = private.public_key()
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return {
            "type": "service_account",
            "project_id": project,
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": f"tester@{project}.iam.gserviceaccount.com",
            "token_uri": self.token_uri,
        }

    def is_signed(self, assertion: str) -> bool:
        content, _, signature = assertion.rpartition(".")
        assert self._public
        try:
            self._public.verify(base64.urlsafe_b64decode(signature + "=="), content.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


@contextmanager
def running_keys() -> Iterator[Keys]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            good = keys.is_signed(form["assertion"][0])
            keys.given += good
            answer: dict[str, object] = {"access_token": f"token-{keys.given}", "expires_in": 3600, "token_type": "Bearer"}
            if not good:
                answer = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            body = json.dumps(answer).encode()
            self.send_response(200 if good else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """`given` counts."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        keys = Keys(f"http://127.0.0.1:{server.server_address[1]}/token")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield keys
        finally:
            server.shutdown()
            thread.join()
