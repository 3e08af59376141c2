"""What the places of intakes hold: looked at all at once, for a bounded time, and never with the end of the program."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.connectors.rooms import ROOMS
from reconciler.looking import look_at
from reconciler.plan.remote import KEPT, LOOKED_AT, place_of, written_to
from reconciler.vault import Vault

KEY = {"credentialType": "s3", "awsAccessKeyId": "AKIA", "awsSecretAccessKey": "${env.SECRET}"}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault({"credentials": {"lake": {"name": "lake", "fields": KEY}}, "data_stores": {}}, "local", tmp_path, {"SECRET": "s3cr3t-of-the-lake"})


class Store(http.server.ThreadingHTTPServer):
    """Answers like S3 for objects that are all the same; none before as many questions are open as `together` says."""

    def __init__(self, together: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.barrier = threading.Barrier(together)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Store

    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)
        self.server.barrier.wait(timeout=30)
        self.send_response(200)
        for name, value in {"Content-Length": "7", "ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(together=8) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def place(endpoint: str, key: str, probe: str | None = None) -> str:
    made = place_of({"type": "s3", "url": f"s3://b/{key}", "endpointUrl": endpoint, "credentialId": "lake"}, probe)
    assert made is not None
    return made


def test_every_room_can_be_looked_at() -> None:
    assert ROOMS.keys() == LOOKED_AT
    assert LOOKED_AT > KEPT


def test_store_that_is_out_of_reach_is_not_asked_for_every_output(vault: Vault) -> None:
    asked: set[bytes] = set()

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            while True:
                with server.accept()[0] as caller:
                    asked.add(caller.recv(1024).split(b" ")[1])

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=hang_up, daemon=True).start()
        settings = {"type": "s3", "endpointUrl": f"http://127.0.0.1:{server.getsockname()[1]}", "credentialId": "lake"}
        places = [written_to({**settings, "url": f"s3://b/{number}.csv"}) for number in range(100)]
        found = look_at([place for place in places if place is not None], vault)
        server.shutdown(socket.SHUT_RDWR)
    assert {(look.digest, look.is_absent, look.is_unreachable) for look in found.values()} == {(None, False, True)}
    assert (len(found), 0 < len(asked) <= 8) == (100, True)


def test_outputs_that_are_slow_to_be_looked_at_keep_no_intake_waiting(vault: Vault) -> None:
    with Store(together=1) as store, closing(socket.create_server(("127.0.0.1", 0))) as silent:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        settings = {"type": "s3", "endpointUrl": f"http://127.0.0.1:{silent.getsockname()[1]}", "credentialId": "lake"}
        outputs = [made for number in range(8) if (made := written_to({**settings, "url": f"s3://b/{number}.csv"}))]
        intake = place(store.url, "in.csv")
        found = look_at([*outputs, intake], vault, patience_s=5)
        store.shutdown()
    assert found[intake].digest is not None
    assert {found[output].digest for output in outputs} == {None}


def test_eight_places_are_looked_at_together_and_each_once(store: Store, vault: Vault) -> None:
    places = [place(store.url, f"{number}.csv") for number in range(16)]
    found = look_at([*places, *places], vault)
    assert sorted(store.asked) == sorted(f"/b/{number}.csv" for number in range(16))
    assert found.keys() == set(places)
    assert len({look.digest for look in found.values()}) == 1
    assert all(look.digest and look.facts and look.problem is None for look in found.values())


def test_system_that_never_answers_is_a_problem_after_a_while(vault: Vault) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        asked = place(f"http://127.0.0.1:{silent.getsockname()[1]}", "a.csv")
        (look,) = look_at([asked], vault, patience_s=0.2).values()
    assert look.problem is not None
    assert "s3 s3://b/a.csv did not answer for 0.2 s" in look.problem.detail


def test_refused_connection_is_a_problem_without_a_secret(vault: Vault) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    (look,) = look_at([place(f"http://127.0.0.1:{port}", "a.csv")], vault).values()
    assert look.problem is not None
    assert "s3cr3t" not in repr(look)


def test_place_names_a_credential_and_holds_none() -> None:
    assert "s3cr3t" not in place("http://h", "a.csv", "select 1")
    assert '"credentialId": "lake"' in place("http://h", "a.csv")
    assert place("http://h", "a.csv") != place("http://h", "a.csv", "select 1")
