"""A project whose workspace `prod` scores over the network. The rule here: the server is asked what happened, past the proxy, and the files are read.

Every instance of a job has another name for its prediction, so that its job can be told from the others by its spec alone.
"""

import contextlib
import json
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from house import Said
from nursery import Born, Nursery
from program import Program, environment, serving

from reconciler.embedded import deployment_id
from reconciler.state.lifecycle import Status
from reconciler.state.snapshot import open_snapshot

TOKEN = "a-token-that-nobody-may-ever-read"
MODEL = "specs/models/diabetes"
SOURCE = Path(__file__).parent.parent
ROWS = (SOURCE / "specs/data/diabetes/2026-09.csv").read_text().splitlines()

JOBS = """\
workspaces: {{prod: {settings}}}
deployments: {{diabetes: {{prod: {deployment}}}}}
jobs:
  diabetes:
    deployment: diabetes
    for_each: {{{keys}}}
    intake_settings: {{type: localFile, file: "data/in/${{each.key}}.csv"}}
    output_settings: {{type: localFile, path: "data/out/${{each.key}}.csv"}}
    passthrough_columns: [patient_id]
    column_names_remapping: {{progression_PREDICTION: "${{each.value}}"}}
"""


class Server:
    """`reconciler serve` as a process of its own, with many deployments of one model: each test takes one that nobody has used."""

    def __init__(self, program: Program, deployments: Sequence[str]) -> None:
        self.program = program
        self._unused = list(deployments)
        self.plain = self.take()  # for jobs that are none of the program's

    def take(self) -> str:
        return self._unused.pop()

    def jobs(self, deployment: str) -> list[dict[str, Any]]:
        answer = self.program.http.get("batchPredictions/", params={"deploymentId": deployment, "limit": 1000})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])


@contextlib.contextmanager
def served(root: Path, deployments: int = 300, *arguments: str) -> Iterator[Server]:
    """The folders are links to one model: what counts is that each is a deployment of its own."""
    (root / "specs").mkdir(parents=True)
    shutil.copytree(SOURCE / MODEL, root / "model")
    names = [f"d{number}" for number in range(deployments)]
    for name in names:
        (root / name).symlink_to(root / "model", target_is_directory=True)
    (root / "specs/deployments.yaml").write_text("deployments:\n" + "".join(f"  {name}: {{local: {name}}}\n" for name in names))
    with serving(root, *arguments, DATAROBOT_API_TOKEN=TOKEN) as program:
        yield Server(program, [deployment_id(name) for name in names])


class Remote:
    """A project in a folder. `settings` are those of its workspace."""

    def __init__(
        self, root: Path, server: Server, nursery: Nursery, keys: Sequence[str] = ("a", "b"), *, rows: int = 1, is_alike: bool = False
    ) -> None:
        """`rows`: how often each intake has the patients. `is_alike`: the specs of all instances are the same on the wire."""
        self.root = root
        self.server = server
        self.nursery = nursery
        self.keys = tuple(keys)
        self.deployment = server.take()
        self._is_alike = is_alike
        (root / "specs").mkdir(parents=True)
        (root / "data/in").mkdir(parents=True)
        for number, key in enumerate(self.keys):
            self.intake(key).write_bytes(patients(f"{number}{key}", rows))

    def intake(self, key: str) -> Path:
        return self.root / f"data/in/{key}.csv"

    def output(self, key: str) -> Path:
        return self.root / f"data/out/{key}.csv"

    @property
    def state(self) -> Path:
        return self.root / "state/reconciler.db"

    def aim(self, endpoint: str, **settings: Any) -> None:
        """Write the specs: the workspace `prod` is at this address."""
        keys = ", ".join(f'"{key}": "{self._column(key)}"' for key in self.keys)
        shown = json.dumps({"endpoint": endpoint, **settings})
        (self.root / "specs/jobs.yaml").write_text(JOBS.format(settings=shown, deployment=self.deployment, keys=keys))

    def _column(self, key: str) -> str:
        return "prediction" if self._is_alike else f"prediction_{key}"

    def environment(self, **variables: str) -> dict[str, str]:
        return environment(**{"DATAROBOT_API_TOKEN": TOKEN, **variables})

    @contextlib.contextmanager
    def program(self, command: str, *args: str, main: str = "reconciler.cli.main:run", **variables: str) -> Iterator[Born]:
        given = (command, *args, "-workspace=prod") if main == "reconciler.cli.main:run" else (command, *args)
        with self.nursery.program(*given, cwd=self.root, environment=self.environment(**variables), main=main) as born:
            yield born

    @contextlib.contextmanager
    def applying(self, *args: str, **variables: str) -> Iterator[Born]:
        with self.program("apply", "-auto-approve", *args, **variables) as born:
            yield born

    def run(self, command: str, *args: str, **variables: str) -> Said:
        """Waited for; checked for what must never be said."""
        with self.program(command, *args, **variables) as born:
            code = born.wait()
            assert code is not None, born.err
            return heard(born, code)

    def apply(self, *args: str) -> Said:
        return self.run("apply", "-auto-approve", *args)

    @contextlib.contextmanager
    def watched(self, *allowed: Mapping[str, bytes]) -> Iterator[None]:
        """All the time, what stands under the final names is nothing, or whole and one of these."""
        wrong: list[str] = []
        over = threading.Event()
        may_be = {key: [outputs[key] for outputs in allowed] for key in self.keys}

        def watch() -> None:
            while not over.wait(0.002):
                for key in self.keys:
                    with contextlib.suppress(FileNotFoundError):
                        if (content := self.output(key).read_bytes()) not in may_be[key]:
                            wrong.append(f"{key}: {len(content)} bytes")

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        assert not wrong, wrong

    # What must be so in the end

    def expected(self) -> dict[str, bytes]:
        """What a plain client of the same server gets for each intake."""
        with httpx.Client(base_url=str(self.server.program.http.base_url), headers={"Authorization": f"Token {TOKEN}"}, timeout=120) as http:
            return {key: plainly_scored(http, self.server.plain, self.intake(key).read_bytes(), self._column(key)) for key in self.keys}

    def jobs(self, status: str | None = None) -> list[dict[str, Any]]:
        return [job for job in self.server.jobs(self.deployment) if status is None or job["status"] == status]

    def downloads(self, forgotten: Sequence[str] = ()) -> list[bytes]:
        """The results of all that was scored, except for jobs that are gone for the client."""
        return [self.server.program.download(job["id"]).content for job in self.jobs("COMPLETED") if job["id"] not in forgotten]

    def wrongs(self, expected: Mapping[str, bytes], forgotten: Sequence[str] = ()) -> dict[str, int]:
        """How many jobs were scored twice, were lost or are still going on, and how many outputs are not right."""
        scored, right = self.downloads(forgotten), list(expected.values())
        return {
            "duplicate jobs": sum(max(scored.count(content) - 1, 0) for content in set(scored)),
            "lost jobs": sum(content not in scored for content in right),
            "foreign jobs": sum(content not in right for content in scored),
            "jobs in flight": sum(job["status"] in ("INITIALIZING", "RUNNING") for job in self.jobs() if job["id"] not in forgotten),
            "wrong outputs": sum(not self.output(key).exists() or self.output(key).read_bytes() != right for key, right in expected.items()),
            "files left over": len({path.name for path in (self.root / "data/out").iterdir()} - {f"{key}.csv" for key in self.keys}),
        }

    def check_settled(self, expected: Mapping[str, bytes], forgotten: Sequence[str] = ()) -> None:
        """One scored job and one delivered run an instance, the right bytes, nothing left over, nothing to do, no secret told."""
        found = self.wrongs(expected, forgotten)
        assert not any(found.values()), found
        with open_snapshot(self.state) as state:
            runs = state.runs("prod")
        assert not [run for run in runs if run.is_open]
        delivered = [run for run in runs if run.status is Status.DELIVERED]
        assert sorted(run.job_id or "" for run in delivered) == sorted(job["id"] for job in self.jobs("COMPLETED") if job["id"] not in forgotten)
        said = self.run("plan", "-detailed-exitcode")
        assert said.code == 0, said
        self.check_secrets()

    def check_secrets(self) -> None:
        for path in self.root.rglob("*"):
            assert path.is_dir() or TOKEN.encode() not in path.read_bytes(), path


def patients(label: str, times: int) -> bytes:
    """Their ids bear the label, so that no result passes for another's."""
    header, *rows = ROWS
    lines = (f"{label}-{turn}-{row}" for turn in range(times) for row in rows)
    return "\n".join([header, *lines, ""]).encode()


def plainly_scored(http: httpx.Client, deployment: str, intake: bytes, column: str) -> bytes:
    local = {"type": "localFile"}
    remapping = {"progression_PREDICTION": column}
    body = {"deploymentId": deployment, "intakeSettings": local, "outputSettings": local, "passthroughColumns": ["patient_id"]}
    answer = http.post("batchPredictions/", json=body | {"columnNamesRemapping": remapping})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert http.put(job["links"]["csvUpload"], content=intake, headers={"Content-Type": "text/csv"}).status_code == 202
    while http.get(job["links"]["self"]).json()["links"].get("download") is None:
        pass
    return http.get(f"batchPredictions/{job['id']}/download/").raise_for_status().content


def heard(born: Born, code: int) -> Said:
    said = Said(code, born.out, born.err)
    assert "Traceback" not in said.out + said.err, said.err
    assert TOKEN not in said.out + said.err
    return said
