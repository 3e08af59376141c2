"""Who runs this process, and which process it is."""

import os
import subprocess
import sys

from reconciler.identity import began, is_alive, realm

# A name that a careless reader of /proc would stumble over.
NAMED = "open('/proc/self/comm', 'w').write('a) Z 1 (b'); print('named', flush=True); input()"


def test_process_began_once() -> None:
    mine = began(os.getpid())
    assert mine is not None
    assert mine == began(os.getpid())
    assert mine.startswith(f"{realm()} ")


def test_two_processes_began_differently_and_what_has_ended_began_never() -> None:
    with subprocess.Popen([sys.executable, "-c", NAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "named\n"
        alive = began(process.pid)
        assert alive is not None
        assert alive.rpartition(" ")[2].isdecimal()
        assert alive != began(os.getpid())
        assert is_alive(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_alive(process.pid)  # nobody has asked how it ended yet, so its pid is still its own
        assert began(process.pid) not in (alive, None)
    assert began(process.pid) is None
    assert not is_alive(process.pid)
