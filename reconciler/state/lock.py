"""The lock of the state. The rule here: one holder at a time, with its facts on record and a fence that every write must match."""

import os
import secrets
import time
from dataclasses import dataclass
from typing import Any, Self

from reconciler.errors import StateLocked
from reconciler.identity import host, user

# A holder that has not shown itself for this long is taken to be gone: another host's cannot be asked, and ours may have died and
# left its pid to another process. One that only slept finds the fence raised, and writes nothing.
STALE_S = 120.0


@dataclass(frozen=True)
class Lock:
    """Held by this process. `taken_from` says whom a stale lock was taken over from."""

    holder: str
    fence: int
    taken_from: str | None

    @classmethod
    def take(cls, db: Any, command: str, since: str) -> Self:
        """Inside a write transaction. Raises StateLocked."""
        row = next(db.query("SELECT * FROM lock WHERE id = 1"))
        if row["holder"] is not None and not _is_stale(row):
            raise _held(row)
        lock = cls(secrets.token_hex(8), row["fence"] + 1, f"{row['who']} (pid {row['pid']})" if row["holder"] else None)
        facts = {"who": f"{user()}@{host()}", "host": host(), "pid": os.getpid(), "command": command, "since": since}
        db["lock"].update(1, {"holder": lock.holder, "fence": lock.fence, "heartbeat": time.time(), **facts})
        return lock

    def check(self, db: Any) -> None:
        row = next(db.query("SELECT holder, fence, who FROM lock WHERE id = 1"))
        if (row["holder"], row["fence"]) != (self.holder, self.fence):
            raise StateLocked(
                "The lock of the state was taken over",
                f"Its holder now: {row['who'] or 'nobody'}. This process writes nothing more; run the command again to go on.",
            )

    def beat(self, db: Any) -> None:
        db["lock"].update(1, {"heartbeat": time.time()})

    def release(self, db: Any) -> None:
        db.execute("UPDATE lock SET holder = NULL WHERE id = 1 AND holder = ?", (self.holder,))


def _is_stale(row: dict[str, Any]) -> bool:
    is_silent = bool(time.time() - row["heartbeat"] > STALE_S)
    return is_silent or (row["host"] == host() and not _is_alive(row["pid"]))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _held(row: dict[str, Any]) -> StateLocked:
    return StateLocked(
        "The state is locked",
        "Another apply is going on; wait for it to end and run the command again.\n"
        f"  ID:      {row['holder']}\n  Who:     {row['who']}\n  PID:     {row['pid']}\n  Command: {row['command']}\n  Since:   {row['since']}",
    )
