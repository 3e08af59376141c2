"""SIGKILL of the real process, at every step and at any moment, embedded and over the network; then apply again. The rule: every figure is 0.

Long: `RECONCILER_KILL_ROUNDS=300 RECONCILER_KILL_SEED=7 pytest -n 0 -s tests/test_kill.py`. The figures are printed.
"""

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults import Fault, Proxy, Seen, Slow
from house import remote_jobs, two_jobs
from nursery import Born, Nursery
from remote import Remote, Server, heard

ROUNDS = int(os.environ.get("RECONCILER_KILL_ROUNDS", "3"))
SEED = os.environ.get("RECONCILER_KILL_SEED", "1")
IS_LONG = ROUNDS > 10
AT_ONCE = 4  # an apply over the network waits most of its time
SLOW = Slow(100_000)
LIMIT_STEPS = 200


class Reaper:
    """Kills at the Nth thing that happens on the wire; of the looks at a job only the first ones count, for their number is the machine's affair."""

    def __init__(self, left: int) -> None:
        self._left = left
        self._looks = 3
        self._born = threading.Event()
        self._turn = threading.Lock()
        self.moment = ""

    def take(self, victim: Born) -> None:
        self._victim = victim
        self._born.set()

    def __call__(self, what: str, request: Seen) -> None:
        with self._turn:
            if what == "asked" and request.is_of("GET", r"batchPredictions/(\w{24}/)?"):
                self._looks -= 1
            if self._looks < 0 and request.is_of("GET", r"batchPredictions/(\w{24}/)?"):
                return
            self._left -= 1
            if self._left == 0:
                self.moment = f"{what} {request.method} {request.path}"
                self._born.wait()
                self._victim.send(signal.SIGKILL)


def settled(remote: Remote, proxy: Proxy, when: str) -> Counter[str]:
    """Applied again until it ends well: what is wrong then."""
    for _ in range(3):
        said = remote.apply()
        if said.code == 0:
            break
    assert said.code == 0, f"killed at {when}: {said.err}"
    expected = remote.expected()
    found = Counter(remote.wrongs(expected))
    if any(found.values()):
        print(f"killed at {when}: {dict(+found)}")
    else:
        remote.check_settled(expected)
    return found


def report(what: str, kills: int, found: Counter[str]) -> None:
    print(f"\n{what}: seed {SEED}, {kills} kills; " + ", ".join(f"{name} {count}" for name, count in found.items()))
    assert kills
    assert not any(found.values())


def until_it_lives(killed: Callable[[int], tuple[bool, Counter[str]]], stride: int = 1) -> tuple[int, Counter[str]]:
    """Killed at each step in its turn, some side by side, until one was not killed. How many were, and what was wrong."""
    found: Counter[str] = Counter()
    kills = 0
    steps = iter(range(1 + random.Random(SEED).randrange(stride), LIMIT_STEPS, stride))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            results = list(pool.map(killed, itertools.islice(steps, AT_ONCE)))
            for died, wrongs in results:
                kills += died
                found.update(wrongs)
            if not all(died for died, _ in results):
                return kills, found


def test_at_every_write_of_the_journal(tmp_path: Path, server: Server, nursery: Nursery) -> None:
    def killed(step: int) -> tuple[bool, Counter[str]]:
        remote = Remote(tmp_path / str(step), server, nursery, ("a", "b") if IS_LONG else ("a",))
        with Proxy(server.program.port) as proxy:
            remote.aim(proxy.endpoint)
            with remote.program("SIGKILL", str(step), main="mortal:main") as born:
                died = born.wait() is None
            return died, settled(remote, proxy, f"write {step}")

    report("every write of the journal", *until_it_lives(killed))


def test_at_everything_that_happens_on_the_wire(tmp_path: Path, server: Server, nursery: Nursery) -> None:
    def killed(step: int) -> tuple[bool, Counter[str]]:
        remote = Remote(tmp_path / str(step), server, nursery, ("a",))
        reaper = Reaper(step)
        with Proxy(server.program.port, witness=reaper) as proxy:
            remote.aim(proxy.endpoint)
            with remote.applying() as born:
                reaper.take(born)
                died = born.wait() is None
            return died, settled(remote, proxy, reaper.moment)

    report("everything on the wire", *until_it_lives(killed, 1 if IS_LONG else 4))


def test_at_random_moments_over_a_slow_link(tmp_path: Path, server: Server, nursery: Nursery) -> None:
    transfers = [Fault("PUT", ".*", SLOW, times=None), Fault("GET", ".*/download/", SLOW, times=None)]

    def killed(number: int) -> tuple[int, Counter[str]]:
        dice = random.Random(f"{SEED} {number}")
        remote = Remote(tmp_path / str(number), server, nursery, ("a", "b", "c"), rows=8, is_alike=number % 2 == 0)
        kills = 0
        with Proxy(server.program.port, transfers) as proxy:
            remote.aim(proxy.endpoint)
            for _ in range(3):
                with remote.applying() as born:
                    time.sleep(dice.uniform(0.02, 1.5))
                    born.send(signal.SIGKILL)
                    kills += born.wait() is None
            return kills, settled(remote, proxy, f"random moments of round {number}")

    found: Counter[str] = Counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(killed, range(ROUNDS)))
    for _, wrongs in results:
        found.update(wrongs)
    report("random moments, slow link", sum(kills for kills, _ in results), found)


def test_at_random_moments_embedded(tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    kills = 0
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")}
    (tmp_path / "nursery").mkdir()
    with Nursery(tmp_path / "nursery", engine=True) as nursery:

        def applied(root: Path, mortal_s: float | None = None) -> int | None:
            with nursery.program("apply", "-auto-approve", cwd=root, environment=environment) as born:
                if mortal_s is not None:
                    time.sleep(mortal_s)
                    born.send(signal.SIGKILL)
                code = born.wait()
                if code is not None:
                    heard(born, code)
                assert mortal_s is not None or code == 0, born.err
                return code

        right = two_jobs(tmp_path / "undisturbed")
        began = time.monotonic()
        applied(right)
        long_s = time.monotonic() - began
        outputs = {path.relative_to(right): path.read_bytes() for path in (right / "state/predictions").rglob("*.csv")}
        for number in range(ROUNDS):
            dice = random.Random(f"{SEED} {number}")
            root = two_jobs(tmp_path / str(number))
            for _ in range(3):
                kills += applied(root, dice.uniform(0.05, 1.0) * long_s) is None
            applied(root)
            jobs = remote_jobs(root, "specs/models/diabetes")
            scored = Counter(Path(output).name.split(".csv")[0] for output, status in jobs if status == "COMPLETED")
            wrong = sum((root / path).read_bytes() != content for path, content in outputs.items())
            found.update({"duplicate jobs": scored.total() - len(scored), "lost jobs": len(outputs) - len(scored), "wrong outputs": wrong})
            found.update({"jobs in flight": sum(status in ("INITIALIZING", "RUNNING") for _, status in jobs)})
            found.update({"files left over": len(list(root.rglob("*.part")))})
    report("random moments, embedded", kills, found)
