"""The README is a session: its commands are run in order in a copy of the project, and what they say is compared whole.

What differs from run to run (ids, times, the order in which jobs end) is levelled on both sides. `UPDATE_README=1` writes what was said.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from house import REPOSITORY, copy_specs

README = REPOSITORY / "README.md"
_MARK = "\x1e"
_PORT = "8765"  # the one that the README names
_LEVELLED = (
    (r"\b[0-9a-f]{24}\b", "ID"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{6}Z?", "TIME"),
    (r"\bafter \d+s", "after Ns"),
    (r"by \S+@\S+", "by WHO"),
    (r"(?m)^ *\d+  TIME", "N  TIME"),
    (r"(?m)^N  TIME  running .*\n", ""),  # a short job may have ended before it is looked at
)


def blocks(text: str) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Each `console` block: where it begins, and its commands with what they say."""
    for match in re.finditer(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        parts = re.split(r"^\$ (.*)\n", match[1], flags=re.MULTILINE)
        yield match.start(1), list(zip(parts[1::2], parts[2::2], strict=True))


def replay(commands: list[str], root: Path) -> list[str]:
    """Run the commands in one shell, on a free port; returns what each said."""
    port = free_port()
    commands = [command.replace("reconciler serve ", f"reconciler serve -port {port} ").replace(_PORT, port) for command in commands]
    script = "".join(f"{command}\nstatus=$?; printf '{_MARK}'; (exit $status)\n" for command in commands)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(root), "LC_ALL": "C.UTF-8", **({"PYTHONPATH": here} if (here := os.environ.get("PYTHONPATH")) else {})}
    said = subprocess.run(["bash", "-c", script], cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return said.stdout.replace(port, _PORT).split(_MARK)[: len(commands)]


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def levelled(said: str) -> str:
    for pattern, name in _LEVELLED:
        said = re.sub(pattern, name, said)
    # Jobs run side by side, so their lines may come in any order.
    return re.sub(r"(?m)(?:^job\.\S+: .*\n)+", lambda lines: "".join(sorted(lines[0].splitlines(keepends=True))), said)


def test_the_session_says_what_the_readme_shows(tmp_path: Path) -> None:
    text = README.read_text()
    shown = [step for _, block in blocks(text) for step in block]
    said = replay([command for command, _ in shown], copy_specs(tmp_path))
    if os.environ.get("UPDATE_README"):
        README.write_text(rewritten(text, said))
    else:
        for (command, expected), actual in zip(shown, said, strict=True):
            assert levelled(actual) == levelled(expected), f"$ {command}"


def rewritten(text: str, said: list[str]) -> str:
    waiting = iter(said)

    def block(match: re.Match[str]) -> str:
        steps = re.sub(r"^\$ (.*)\n(?:(?!\$ ).*\n)*", lambda step: f"$ {step[1]}\n{next(waiting)}", match[1], flags=re.MULTILINE)
        return f"```console\n{steps}```"

    return re.sub(r"^```console\n(.*?)^```$", block, text, flags=re.MULTILINE | re.DOTALL)


def test_ci_runs_the_readmes_second_command() -> None:
    commands = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert len(commands) == 2
    assert (REPOSITORY / ".ci/run").read_text().endswith(f"\n{commands[1]}")
