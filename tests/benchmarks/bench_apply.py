"""What an apply over the network costs, beside a bare loop that does the same requests in the same run. The rule here: ratios, no limits.

python tests/benchmarks/bench_apply.py [--jobs 1000] [--in-flight 50] [--per-deployment 10] [--parallelism 10] [--megabytes 1024]
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
from faults import Proxy
from program import environment
from remote import TOKEN, Server, served
from service.live import child

from reconciler.embedded import deployment_id

HEADER = "patient_id,age,sex,bmi,bp,s1,s2,s3,s4,s5,s6"
ROW = "59.0,2.0,32.1,101.0,157.0,93.2,38.0,4.0,4.8598,87.0"
COPIED = "name: bench\ntype: inference\ntargetType: binary\ninferenceModel: {targetName: y, positiveClassLabel: '1', negativeClassLabel: '0'}\n"
SPEC = """\
workspaces: {{prod: {{endpoint: "{endpoint}"}}}}
deployments:
{deployments}
jobs:
"""
JOB = """\
  job_{number}:
    deployment: d{deployment}
    intake_settings: {{type: localFile, file: "data/in/{number}.csv"}}
    output_settings: {{type: localFile, path: "data/out/{number}.csv"}}
"""
COUNTED = 200  # jobs of the run whose requests are counted: the counting proxy takes a core of its own
MEGABYTE = 1 << 20


class Cost(NamedTuple):
    """Seconds of wall and of processor time, and the peak of memory in bytes."""

    wall: float
    cpu: float
    memory: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Times an apply over a loopback socket.")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--deployments", type=int, default=10)
    parser.add_argument("--in-flight", type=int, default=50)
    parser.add_argument("--per-deployment", type=int, default=10)
    parser.add_argument("--parallelism", type=int, default=10)
    parser.add_argument("--megabytes", type=int, default=1024, help="the larger file; the smaller one has 64 MB")
    args = parser.parse_args()
    manner = [f"-parallelism={args.parallelism}", f"-max-in-flight={args.in_flight}", f"-max-in-flight-per-deployment={args.per_deployment}"]
    with tempfile.TemporaryDirectory() as folder:
        jobs(Path(folder), args.jobs, args.deployments, args.in_flight, manner)
        memory(Path(folder), 64, args.megabytes)


def jobs(folder: Path, count: int, deployments: int, in_flight: int, manner: list[str]) -> None:
    with served(folder / "server", 3 * deployments + 1) as server:
        bare_ids, counted_ids, ids = ([server.take() for _ in range(deployments)] for _ in range(3))
        before = cpu_of(server.program.process.pid)
        wall, asked, cpu = bare(server, bare_ids, count, in_flight, folder)
        rate("bare httpx", count, wall)
        shares("", wall, cpu, cpu_of(server.program.process.pid) - before)
        print(f"{'':30}{asked / count:8.1f} requests a job")
        root = project(folder / "project", server.program.document["endpoint"], ids, count)
        before = cpu_of(server.program.process.pid)
        cost = applied(root, *manner)
        rate("apply", count, cost.wall)
        shares("", cost.wall, cost.cpu, cpu_of(server.program.process.pid) - before)
        print(
            f"{'':30}{cost.wall / wall:8.2f} x bare, {cost.cpu / count * 1000:.1f} ms of our processor time a job, {cost.memory / 1e6:.0f} MB at most"
        )
        cost = applied(root, "-detailed-exitcode", command="plan")
        print(f"{'a plan of them afterwards':30}{cost.wall:8.2f} s")
        with Proxy(server.program.port) as proxy:
            counted = min(count, COUNTED)
            applied(project(folder / "counted", proxy.endpoint, counted_ids, counted), *manner)
            kinds = Counter(kind(request.method, request.path) for request in proxy.requests)
        print(
            f"{f'requests of {counted} jobs':30}{kinds.total() / counted:8.2f} a job: " + ", ".join(f"{n} {what}" for what, n in kinds.most_common())
        )


def rate(what: str, count: int, seconds: float) -> None:
    print(f"{what:30}{seconds:8.2f} s {count / seconds:8,.1f} jobs/s")


def shares(what: str, wall: float, ours: float, server: float) -> None:
    cores = os.cpu_count() or 1
    print(f"{what:30}{ours / wall:8.0%} of one core is the client's, {server / wall:.0%} the server's (of {cores} cores)")


def kind(method: str, path: str) -> str:
    """The request without its ids and its query."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    return f"{method} " + "/".join("ID" if len(part) == 24 else part for part in parts)


def project(root: Path, endpoint: str, ids: list[str], count: int, megabytes: int = 0) -> Path:
    (root / "specs").mkdir(parents=True)
    (root / "data/in").mkdir(parents=True)
    names = "\n".join(f"  d{number}: {{prod: {id}}}" for number, id in enumerate(ids))
    spec = SPEC.format(endpoint=endpoint, deployments=names)
    spec += "".join(JOB.format(number=number, deployment=number % len(ids)) for number in range(count))
    (root / "specs/jobs.yaml").write_text(spec)
    for number in range(count):
        with open(root / f"data/in/{number}.csv", "w") as file:
            file.write(f"{HEADER}\n")
            line = f"{number},{ROW}\n"
            file.write(line)
            for _ in range(megabytes):
                file.write(line * (MEGABYTE // len(line)))
    return root


def applied(root: Path, *args: str, command: str = "apply") -> Cost:
    """The program as a process of its own."""
    line = [sys.executable, "-m", "reconciler", command, "-workspace=prod", *(("-auto-approve",) if command == "apply" else ()), *args]
    began = time.monotonic()
    with (
        open(root / "said", "w") as said,
        subprocess.Popen(line, cwd=root, env=environment(DATAROBOT_API_TOKEN=TOKEN), stdout=said, stderr=said) as run,
    ):
        peak = 0
        while True:
            peak = max(peak, peak_of(run.pid))
            pid, status, usage = os.wait4(run.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.02)
        run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0, (root / "said").read_text()[-2000:]
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, peak)


def peak_of(pid: int) -> int:
    """Of the process as it is now: what `wait4` tells counts its parent's memory too."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bare(server: Server, ids: list[str], count: int, in_flight: int, folder: Path) -> tuple[float, int, float]:
    """Submit, upload, look until it is done, download: seconds, requests and seconds of processor time."""
    (folder / "bare").mkdir()
    asked = 0

    async def everything() -> None:
        places = asyncio.Semaphore(in_flight)
        headers = {"Authorization": f"Token {TOKEN}"}
        async with httpx.AsyncClient(base_url=str(server.program.http.base_url), headers=headers, timeout=120) as http:
            await asyncio.gather(*(job(http, places, number) for number in range(count)))

    async def job(http: httpx.AsyncClient, places: asyncio.Semaphore, number: int) -> None:
        nonlocal asked
        local = {"type": "localFile"}
        async with places:
            body = {"deploymentId": ids[number % len(ids)], "intakeSettings": local, "outputSettings": local}
            made = (await http.post("batchPredictions/", json=body)).raise_for_status().json()
            rows = f"{HEADER}\n{number},{ROW}\n"
            (await http.put(made["links"]["csvUpload"], content=rows, headers={"Content-Type": "text/csv"})).raise_for_status()
            asked += 3
            pause = 0.05
            while (await http.get(made["links"]["self"])).json()["status"] != "COMPLETED":
                asked += 1
                await asyncio.sleep(pause)
                pause *= 1.5
            answer = (await http.get(f"batchPredictions/{made['id']}/download/")).raise_for_status()
            asked += 1
            (folder / f"bare/{number}.csv").write_bytes(answer.content)

    began, cpu = time.monotonic(), time.process_time()
    asyncio.run(everything())
    return time.monotonic() - began, asked, time.process_time() - cpu


def memory(folder: Path, small: int, large: int) -> None:
    """The server only copies: what is measured is the way up and down."""
    (folder / "model").mkdir()
    (folder / "model/model-metadata.yaml").write_text(COPIED)
    (folder / "model/model.lgb").write_text("tree\n")
    ids = [deployment_id("model"), deployment_id("another")]
    with child(folder / "storage", dict.fromkeys(ids, str(folder / "model"))) as server:
        costs = []
        for id, megabytes in zip(ids, (small, large), strict=True):
            root = project(folder / f"{megabytes} MB", f"http://127.0.0.1:{server.api.port}/api/v2", [id], 1, megabytes)
            cost = applied(root)
            assert (root / "data/out/0.csv").stat().st_size == (root / "data/in/0.csv").stat().st_size
            carried = f"{2 * megabytes / cost.wall:8,.0f} MB/s {cost.cpu / cost.wall:.0%} of a core"
            print(f"{f'{megabytes} MB up and down':30}{cost.wall:8.2f} s {carried}, {cost.memory / 1e6:.1f} MB at most")
            costs.append(cost)
    print(f"{'memory':30}{costs[1].memory / costs[0].memory:8.2f} x for {large / small:.0f} x the file")


if __name__ == "__main__":
    main()
