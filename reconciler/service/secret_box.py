"""Secrets at rest. The rule here: nothing leaves this room for the disk unless it is encrypted, and the key's file is its owner's alone.

The key lies beside the database, so this protects a copied or leaked database, a backup and a log; not against who can read the whole folder.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler import confidential
from reconciler.api.schema import Problem
from reconciler.confidential import REDACTED
from reconciler.errors import ServiceError

_SEALED = re.compile(r"\$\{sealed\.([\w=-]+)\}")


class SecretBox:
    """Fernet (AES-128-CBC with HMAC-SHA256) over JSON values; the key is made on first use."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def seal(self, secrets: dict[str, Any]) -> bytes:
        """Raises ServiceError when the key cannot be made or read."""
        return bytes(self._fernet().encrypt(json.dumps(secrets).encode()))

    def sealed(self, settings: dict[str, Any], is_open: Callable[[str], bool] = lambda text: False) -> dict[str, Any]:
        """The settings, or a whole spec, with each secret as `${sealed.…}`; but not one that `is_open`, or is so already."""

        def change(secret: str) -> str:
            return secret if _SEALED.fullmatch(secret) or is_open(secret) else f"${{sealed.{self.seal({'': secret}).decode()}}}"

        return confidential.replaced(settings, change)

    def opened(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What `sealed` was given. Raises ServiceError when the key is another one."""
        return confidential.visited(settings, lambda path, text: self._unsealed(text))

    def _unsealed(self, text: str) -> str:
        """A secret may hold what was taken for another one, and was sealed before it."""
        return _SEALED.sub(lambda found: self._unsealed(self.open(found[1].encode())[""]), text)

    def open(self, sealed: bytes) -> dict[str, Any]:
        """Raises ServiceError when the key is not the one that sealed it."""
        from cryptography.fernet import InvalidToken

        try:
            opened: dict[str, Any] = json.loads(self._fernet().decrypt(sealed))
        except InvalidToken:
            raise ServiceError("A stored credential cannot be decrypted", f"{self._path} is not the key it was encrypted with.") from None
        return opened

    def _fernet(self) -> Any:
        from cryptography.fernet import Fernet  # of the extra `serve`: a plan needs no secrets at rest

        try:
            return Fernet(self._key(Fernet.generate_key))
        except (OSError, ValueError) as error:
            raise ServiceError("The key of the stored credentials cannot be used", f"{self._path}: {error}") from None

    def _key(self, make: Any) -> bytes:
        """The key's file is linked into place whole: of two that make one at once, both use the first."""
        if not self._path.exists():
            made = self._path.with_name(f"{self._path.name}.{os.getpid()}.{os.urandom(4).hex()}")
            _write_private(made, make())
            with contextlib.suppress(FileExistsError):
                os.link(made, self._path)
            made.unlink()
        return self._path.read_bytes()


def redacted_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Of secrets that were copied from an answer, which does not have them."""
    for path, text in confidential.texts(settings):
        if any(REDACTED in secret for secret in confidential.secrets_in(path, text)):
            yield path, f"an answer shows {REDACTED} instead of the secret; give the secret itself"


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
