"""The lock of the state. The rule here: one holder at a time, with its facts on record and a fence that every write must match."""

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from reconciler.errors import StateLocked
from reconciler.identity import began, host, is_alive, realm, user

# A holder that has not shown itself for this long is taken to be gone: another host's cannot be asked, and one of ours may be stopped
# for good. One that only slept finds the fence raised, and writes nothing.
STALE_S = 120.0


class Timer(NamedTuple):
    """The steady clock, in seconds, and how to sleep; what a test replaces. A sleep ends early with the exception of a signal."""

    steady: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Lock:
    """Held by this process. `taken_from` says from whom a stale lock was taken over, and `recovered` what was found in a journal: for the user.

    `replayed` is how many events the recovery wrote: a plan made at serial N stands when the state is at N + `replayed`.
    """

    holder: str
    fence: int
    taken_from: str | None
    recovered: tuple[str, ...] = ()
    replayed: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        return (self.taken_from, *self.recovered) if self.taken_from else self.recovered

    @classmethod
    def take(cls, db: Any, command: str, since: str, now_s: float, watch: "Watch") -> Self:
        """Inside a write transaction. Raises StateLocked."""
        row = next(db.query("SELECT * FROM lock WHERE id = 1"))
        why = None
        if row["holder"] is not None:
            silent_s = watch.silent_s(row)
            why = _why_stale(row, now_s, silent_s, watch.stale_s)
            if why is None:
                raise _held(row)
        taken_from = why and f"The lock was taken over from {told(row)}, {why}."
        lock = cls(secrets.token_hex(8), row["fence"] + 1, taken_from)
        pid = os.getpid()
        facts = {"who": f"{user()}@{host()}", "host": host(), "pid": pid, "began": began(pid), "command": command, "since": since}
        db["lock"].update(1, {"holder": lock.holder, "fence": lock.fence, "heartbeat": now_s, **facts})
        return lock

    def check(self, db: Any) -> None:
        row = next(db.query("SELECT * FROM lock WHERE id = 1"))
        if (row["holder"], row["fence"]) != (self.holder, self.fence):
            raise StateLocked(
                "The lock of the state was taken over",
                f"Its holder now: {told(row) if row['holder'] else 'nobody'}. This process writes nothing more; run the command again to go on.",
            )

    def beat(self, db: Any, now_s: float) -> None:
        db["lock"].update(1, {"heartbeat": now_s})

    def release(self, db: Any) -> None:
        db.execute("UPDATE lock SET holder = NULL WHERE id = 1 AND holder = ?", (self.holder,))


class Watch:
    """How long a holder has shown no sign while we waited, by our own steady clock: the wall clocks of two hosts differ, and jump."""

    def __init__(self, steady: Callable[[], float], stale_s: float) -> None:
        self.stale_s = stale_s
        self._steady = steady
        self._sign: tuple[object, ...] = ()
        self._since = 0.0

    def silent_s(self, row: Mapping[str, Any]) -> float:
        sign = (row["fence"], row["heartbeat"])
        if sign != self._sign:
            self._sign, self._since = sign, self._steady()
        return self._steady() - self._since


def told(row: Mapping[str, Any]) -> str:
    return f"{row['who']} (pid {row['pid']}, {row['command']}, since {row['since']})"


def _why_stale(row: Mapping[str, Any], now_s: float, silent_s: float, stale_s: float) -> str | None:
    """A heartbeat in the future, left by a clock that was set back, says nothing; the steady clock tells in time."""
    if _is_dead(row):
        return "whose process no longer runs"
    silent_s = max(silent_s, now_s - row["heartbeat"])
    return f"who had not shown any sign for {silent_s:.0f} s" if silent_s > stale_s else None


def _is_dead(row: Mapping[str, Any]) -> bool:
    """Only the holder's own system can tell, and of a container only itself: elsewhere a pid is another process, or none."""
    if row["host"] != host():
        return False
    if row["began"] is not None and row["began"].rpartition(" ")[0] != realm():
        return False
    found = began(row["pid"])
    if found is None or row["began"] is None:
        return not is_alive(row["pid"])
    return bool(found != row["began"])


def _held(row: Mapping[str, Any]) -> StateLocked:
    return StateLocked(
        "The state is locked",
        "Another command is writing to it. Run this one again when that has ended, or let it wait with -lock-timeout=5m. If it will never end, "
        "because its machine is gone for instance, unlock the state with the ID below: reconciler force-unlock ID.\n"
        f"  ID:      {row['holder']}\n  Who:     {row['who']}\n  PID:     {row['pid']}\n  Command: {row['command']}\n  Since:   {row['since']}",
    )
