"""TLS for real: an authority of our own, a server with its certificate, and clients that trust it or do not."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from api.peer import answering, peer, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reconciler.api.access import Access
from reconciler.api.client import Client
from reconciler.errors import ServiceError

FOUND = answering(200, b'{"id": "j1", "status": "RUNNING"}')


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(name: str, key: Any, issuer: str, signing: Any, *extensions: x509.ExtensionType) -> bytes:
    now = datetime.now(UTC)
    building = x509.CertificateBuilder(named(issuer), named(name), key.public_key(), x509.random_serial_number())
    building = building.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    for extension in extensions:
        building = building.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return building.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Its certificate, beside those of two servers: `here` for our address, `there` for another."""
    ca, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    own = x509.SubjectKeyIdentifier.from_public_key(ca.public_key())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    (tmp_path / "ca.pem").write_bytes(certificate("Our CA", ca, "Our CA", ca, x509.BasicConstraints(True, None), own, usage))
    issued = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())
    secret = server.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for name, address in (("here", "127.0.0.1"), ("there", "192.0.2.1")):
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        (tmp_path / f"{name}.pem").write_bytes(certificate(name, server, "Our CA", ca, names, issued) + secret)
    return tmp_path / "ca.pem"


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
