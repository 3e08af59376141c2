"""Scored rows on their way from an endpoint to a staging file. The rule here: one block in memory, and a file that is whole on the disk.

The digest is taken while the bytes pass: an output is never read again for it.
"""

import os
import secrets
from collections.abc import Callable
from contextlib import aclosing
from io import FileIO
from pathlib import Path

from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.apply.deliver import Staged, discard_fetched, unwritable
from reconciler.apply.grace import in_thread
from reconciler.fingerprint import Hasher

_BLOCK = 1 << 20


async def download(client: Client, job: Job, staging: Path, on_received: Callable[[int], None], check_lock: Callable[[], None]) -> Staged:
    """Everything that the service sends, from the beginning, and then under the name `staging`.

    It grows in a file of its own: who was suspended in its midst must not write into what its successor has fetched. Raises ServiceError when it is
    cut, DeliveryError, StateLocked.
    """
    hasher, size, block = Hasher(), 0, bytearray()
    own = staging.with_name(f"{staging.name.removesuffix('.part')}.{secrets.token_hex(4)}.part")
    try:
        discard_fetched(staging)
        try:
            with FileIO(own, "x") as file:
                async with aclosing(client.download(job)) as chunks:
                    async for chunk in chunks:
                        block += chunk
                        if len(block) >= _BLOCK:
                            size += len(block)
                            on_received(size)
                            await in_thread(_write, file, bytes(block), hasher)
                            block.clear()
                await in_thread(_write, file, bytes(block), hasher)
                await in_thread(os.fsync, file.fileno())
            check_lock()
            own.replace(staging)
        finally:
            own.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(staging, error) from None
    return Staged(hasher.digest(), size + len(block))


def _write(file: FileIO, block: bytes, hasher: Hasher) -> None:
    hasher.update(block)
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) or 0 :]
