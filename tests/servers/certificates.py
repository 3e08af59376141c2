"""Certificates for servers of the tests. The rule here: an authority of our own has signed them, and nobody trusts it who is not told to."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(name: str, key: Any, issuer: str, signing: Any, *extensions: x509.ExtensionType) -> bytes:
    now = datetime.now(UTC)
    building = x509.CertificateBuilder(named(issuer), named(name), key.public_key(), x509.random_serial_number())
    building = building.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    for extension in extensions:
        building = building.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return building.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def own_authority(folder: Path) -> Path:
    """Its certificate, beside those of two servers: `here` for our address, `there` for another."""
    ca, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    own = x509.SubjectKeyIdentifier.from_public_key(ca.public_key())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    (folder / "ca.pem").write_bytes(certificate("Our CA", ca, "Our CA", ca, x509.BasicConstraints(True, None), own, usage))
    issued = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())
    secret = server.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for name, address in (("here", "127.0.0.1"), ("there", "192.0.2.1")):
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        (folder / f"{name}.pem").write_bytes(certificate(name, server, "Our CA", ca, names, issued) + secret)
    return folder / "ca.pem"
