"""The embedded service on a socket, for any client of the API. The rule here: a token always, and loopback unless the user says otherwise."""

import ipaddress
import os
import resource
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reconciler.embedded import deployment_id, tolerance
from reconciler.errors import Refused

if TYPE_CHECKING:
    import uvicorn

# Connections beyond these are closed, so that half-open ones cannot take the last file descriptor; fewer where the system gives us fewer.
_CONNECTIONS = 4000
# Of each connection: its socket, and the file that it downloads.
_DESCRIPTORS = 2
_OWN_DESCRIPTORS = 200
_GRACE_S = 10
# Longer than the official client waits between two looks at a job.
_KEEP_ALIVE_S = 75
_NO_SERVER = "`reconciler serve` needs a web server. Run: pip install '.[engine,serve]' in a clone of reconciler"


class Settings(NamedTuple):
    """`retention`: how long uploads and results are kept; `upload_limit`: bytes of one upload, None for no limit.

    `patience`: how long a caller may neither send what it has begun, nor read what it has asked for. `jobs_per_deployment` are scored at once.
    """

    retention: timedelta
    upload_limit: int | None
    patience: timedelta
    jobs_per_deployment: int = 1
    trusted: frozenset[str] = frozenset()  # the deployments' folders whose code may run


def kept_token(storage: Path) -> tuple[str, Path | None]:
    """The token of DATAROBOT_API_TOKEN, else one that is made once and kept beside the data, readable by its owner only. Raises Refused."""
    if given := os.environ.get("DATAROBOT_API_TOKEN", "").strip():
        return given, None
    path = storage / "token"
    try:
        storage.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _keep_first(path, secrets.token_urlsafe(32) + "\n")
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("The token cannot be kept", f"{path}: {error}. Choose another -storage, or set DATAROBOT_API_TOKEN.") from None
    if not token:
        raise Refused("The token file is empty", f"Remove {path}, and a new token is made.")
    return token, path


def _keep_first(path: Path, text: str) -> None:
    """Whole or not at all, and of two processes that begin at once the first one's."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def listen(host: str, port: int, *, is_remote_allowed: bool) -> socket.socket:
    """The socket to serve on; port 0 takes a free one. Raises Refused."""
    if not is_remote_allowed and not _is_loopback(host):
        detail = "Whoever reaches it and has the token reads and writes files as you do. Give -allow-remote to serve other machines, behind TLS."
        raise Refused(f"{host} is not a loopback address", detail)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: asyncio switches Nagle's wait off only then, and without each answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a peer that lost its power never says goodbye
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


def deployment_ids(deployments: Mapping[str, str]) -> dict[str, str]:
    """What a client calls each deployment, by its name in the specs."""
    return {name: deployment_id(folder) for name, folder in sorted(deployments.items())}


def serve(
    root: Path, storage: Path, deployments: Mapping[str, str], token: str, listener: socket.socket, settings: Settings, ready: Callable[[], None]
) -> None:
    """Serve until SIGINT or SIGTERM, then end in order: no new requests, running answers end, running jobs go back to the queue."""
    try:
        import uvicorn
    except ImportError:
        raise Refused("The web server is not installed", _NO_SERVER) from None
    from reconciler.service.app import create_app
    from reconciler.service.connection_guard import guarded
    from reconciler.service.guard import HEAD_BYTES, Farewell, Gate, Patience
    from reconciler.service.registry import LocalDeployment, Registry
    from reconciler.service.service import Service

    registry = Registry(
        LocalDeployment(deployment_id(folder), name, root / folder, is_trusted=folder in settings.trusted) for name, folder in deployments.items()
    )
    connections = _affordable_connections()
    patience = settings.patience.total_seconds()
    service = Service(
        storage,
        registry,
        retention=settings.retention,
        upload_limit=settings.upload_limit,
        upload_patience=settings.patience,
        jobs_per_deployment=settings.jobs_per_deployment,
        schedules=True,
        tolerance=tolerance(os.environ),
    )
    with service:
        # An upload has its own patience, and says so in its job: the other one must not be first.
        app = Farewell(Patience(create_app(service, token), patience + 1))
        config = uvicorn.Config(
            Gate(app, connections * 3 // 4),
            http=guarded(patience, connections),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_keep_alive=_KEEP_ALIVE_S,
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


def _affordable_connections() -> int:
    """As many as we take, or as the system has files for; its soft limit is raised for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS * _CONNECTIONS + _OWN_DESCRIPTORS
    files = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max((files - _OWN_DESCRIPTORS) // _DESCRIPTORS, 1)
