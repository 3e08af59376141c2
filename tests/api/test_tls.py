"""TLS for real: an authority of our own, a server with its certificate, and clients that trust it or do not."""

import ssl
from pathlib import Path

import pytest
from api.peer import answering, peer, run
from servers.certificates import own_authority

from reconciler.api.access import Access
from reconciler.api.client import Client
from reconciler.errors import ServiceError

FOUND = answering(200, b'{"id": "j1", "status": "RUNNING"}')


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    return own_authority(tmp_path)


def asked(authority: Path, verify: bool | str, server: str = "here") -> str:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority.parent / f"{server}.pem")

    async def pause(seconds: float) -> None:
        pytest.fail("what is not trusted is not trusted a second time either")

    def access(port: int) -> Access:
        return Access(f"https://127.0.0.1:{port}/api/v2", "s3cr3t", verify=verify)

    async def question() -> str:
        async with peer(FOUND, tls=tls) as there, Client(access(there.port), pause=pause) as client:
            return (await client.job("j1")).id

    return str(run(question()))


def test_own_authority_is_trusted_where_it_is_named(authority: Path) -> None:
    assert asked(authority, str(authority)) == "j1"


@pytest.mark.parametrize(("is_named", "server"), [(False, "here"), (True, "there")], ids=["unknown-authority", "another-name"])
def test_server_that_is_not_trusted_gets_no_request(authority: Path, is_named: bool, server: str) -> None:
    with pytest.raises(ServiceError) as caught:
        asked(authority, str(authority) if is_named else True, server)
    assert caught.value.summary == "The server's certificate is not trusted"
    assert "ca_file" in caught.value.detail


def test_check_can_be_turned_off_as_for_the_official_client(authority: Path) -> None:
    assert asked(authority, False) == "j1"
