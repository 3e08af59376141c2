"""The embedded service on a socket, for any client of the API. The rule here: a token always, and loopback unless the user says otherwise."""

import ipaddress
import os
import resource
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reconciler.embedded import deployment_id
from reconciler.errors import Refused

if TYPE_CHECKING:
    import uvicorn

# A request's line and headers; the official client's are under 2 KB.
_HEADER_BYTES = 32 * 1024
# Connections beyond these are refused, so that half-open ones cannot take the last file descriptor.
_CONNECTIONS = 4000
_GRACE_S = 10
_NO_SERVER = "`reconciler serve` needs a web server. Run: pip install 'reconciler[engine,serve]'"


class Settings(NamedTuple):
    """`retention`: how long uploads and results are kept; `upload_limit`: bytes of one upload, None for no limit."""

    host: str
    port: int
    retention: timedelta
    upload_limit: int | None


def kept_token(storage: Path) -> tuple[str, Path | None]:
    """The token of DATAROBOT_API_TOKEN, else one that is made once and kept beside the data, readable by its owner only."""
    if given := os.environ.get("DATAROBOT_API_TOKEN"):
        return given, None
    path = storage / "token"
    storage.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip(), path
    with open(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip(), path


def listen(host: str, port: int, *, is_remote_allowed: bool) -> socket.socket:
    """The socket to serve on; port 0 takes a free one. Raises Refused."""
    if not is_remote_allowed and not _is_loopback(host):
        detail = "Whoever reaches it and has the token reads and writes files as you do. Give -allow-remote to serve other machines, behind TLS."
        raise Refused(f"{host} is not a loopback address", detail)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise Refused(f"Nothing can be served at {host}:{port}", f"{error.strerror}. Choose another -port (0 takes a free one).") from None
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(
    root: Path, storage: Path, deployments: Mapping[str, str], token: str, listener: socket.socket, settings: Settings, ready: Callable[[], None]
) -> None:
    """Serve until SIGINT or SIGTERM, then end in order: no new requests, running answers end, running jobs go back to the queue."""
    try:
        import uvicorn
    except ImportError:
        raise Refused("The web server is not installed", _NO_SERVER) from None
    from reconciler.service.app import create_app
    from reconciler.service.registry import LocalDeployment, Registry
    from reconciler.service.service import Service

    registry = Registry(LocalDeployment(deployment_id(folder), name, root / folder) for name, folder in deployments.items())
    _raise_file_limit()
    with Service(storage, registry, retention=settings.retention, upload_limit=settings.upload_limit, schedules=True) as service:
        config = uvicorn.Config(
            create_app(service, token),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=_HEADER_BYTES,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_S,
        )
        server = uvicorn.Server(config)
        with _ends_in_order(server):
            ready()
            server.run(sockets=[listener])


@contextmanager
def _ends_in_order(server: "uvicorn.Server") -> Iterator[None]:
    """Signals only ask the server to end: uvicorn's own way raises them again afterwards, before our service has stopped."""
    server.capture_signals = _nothing  # type: ignore[method-assign]
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _raise_file_limit() -> None:
    """As many open files as the system lets us have: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 2 * _CONNECTIONS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
