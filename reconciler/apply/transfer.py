"""Scored rows on their way from an endpoint to a staging file. The rule here: one block in memory, and a file that is whole on the disk.

The digest is taken while the bytes pass: an output is never read again for it.
"""

import asyncio
import os
from pathlib import Path

from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.apply.deliver import Staged, unwritable
from reconciler.fingerprint import Hasher

_BLOCK = 1 << 20


async def download(client: Client, job: Job, staging: Path) -> Staged:
    """Everything that the service sends, from the beginning, into `staging`. Raises ServiceError when it is cut, DeliveryError."""
    hasher, size = Hasher(), 0
    try:
        with open(staging, "wb", buffering=0) as file:
            held = bytearray()
            async for chunk in client.download(job):
                held += chunk
                if len(held) >= _BLOCK:
                    await asyncio.to_thread(_write, file.fileno(), bytes(held), hasher)
                    size += len(held)
                    held.clear()
            await asyncio.to_thread(_write, file.fileno(), bytes(held), hasher)
            size += len(held)
            await asyncio.to_thread(os.fsync, file.fileno())
    except OSError as error:
        raise unwritable(staging, error) from None
    return Staged(hasher.digest(), size)


def _write(descriptor: int, block: bytes, hasher: Hasher) -> None:
    hasher.update(block)
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
