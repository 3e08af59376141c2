"""What the served service costs beside a bare socket, in the same run. The rule here: ratios, no limits.

python tests/benchmarks/bench_service.py [--megabytes 64] [--jobs 100] [--gigabyte]
"""

import argparse
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from service.live import Api, Child, child

MEGABYTE = 1 << 20
BLOCK = b"0123456789abcde\n" * (MEGABYTE // 16)
METADATA = "name: bench\ntype: inference\ntargetType: binary\ninferenceModel: {targetName: y, positiveClassLabel: '1', negativeClassLabel: '0'}\n"
DEPLOYMENTS = [f"{number:024x}" for number in range(4)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the service over a loopback socket.")
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--gigabyte", action="store_true", help="send 1024 MB")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench(Path(folder), 1024 if args.gigabyte else args.megabytes, args.jobs)


def bench(folder: Path, megabytes: int, jobs: int) -> None:
    with child(folder / "storage", model_folders(folder)) as server:
        rate("create, upload 9 bytes, poll to the end", jobs, timed(lambda: small_jobs(server.api, jobs)))
        rate("the same, 20 at a time", jobs, timed(lambda: concurrent_jobs(server.api, jobs)))
        transfer(folder, server, megabytes // 8)
        small = server.memory("VmHWM")
        transfer(folder, server, megabytes)
        large = server.memory("VmHWM")
        print(f"memory at most: {small / 1e6:.1f} MB after {megabytes // 8} MB, {large / 1e6:.1f} MB after {megabytes} MB ({large / small:.2f} x)")


def model_folders(folder: Path) -> dict[str, str]:
    (folder / "model").mkdir()
    (folder / "model" / "model-metadata.yaml").write_text(METADATA)
    (folder / "model" / "model.lgb").write_text("tree\n")
    return dict.fromkeys(DEPLOYMENTS, str(folder / "model"))


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def rate(what: str, count: int, seconds: float) -> None:
    print(f"{what:42}{seconds:8.2f} s {count / seconds:10,.0f} jobs/s")


def small_job(api: Api, number: int) -> None:
    job = api.create(DEPLOYMENTS[number % len(DEPLOYMENTS)])["id"]
    assert api.upload(job, b"copy\n1\n2\n").status_code == 202
    api.until(job, "COMPLETED")


def small_jobs(api: Api, count: int) -> None:
    for number in range(count):
        small_job(api, number)


def concurrent_jobs(api: Api, count: int) -> None:
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: small_job(api, number), range(count)))


def transfer(folder: Path, server: Child, megabytes: int) -> None:
    bare = timed(lambda: bare_copy(None, megabytes))
    stored = timed(lambda: bare_copy(folder / "bare", megabytes))
    job = server.api.create(DEPLOYMENTS[0])["id"]
    up = timed(lambda: upload(server.api, job, megabytes))
    server.api.until(job, "COMPLETED")
    down = timed(lambda: download(server.api, job, megabytes))
    for what, seconds in (("bare socket", bare), ("bare socket to a synced file", stored), ("upload", up), ("download", down)):
        ratios = f"{seconds / bare:8.2f} x bare {seconds / stored:8.2f} x synced"
        print(f"{what:30}{megabytes:6} MB {seconds:8.2f} s {megabytes / seconds:8,.0f} MB/s {ratios}")


def bare_copy(path: Path | None, megabytes: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = threading.Thread(target=send, args=(listener.getsockname()[1], megabytes))
        sender.start()
        connection, _ = listener.accept()
        with connection, open(path or os.devnull, "wb", buffering=0) as file:
            while block := connection.recv(1 << 18):
                file.write(block)
            if path:
                os.fsync(file.fileno())
        sender.join()


def send(port: int, megabytes: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(megabytes):
            connection.sendall(BLOCK)


def upload(api: Api, job: str, megabytes: int) -> None:
    with api.half_open(job, b"", megabytes * MEGABYTE) as connection:
        for _ in range(megabytes):
            connection.sendall(BLOCK)
        answer = connection.recv(12)
        assert answer == b"HTTP/1.1 202", json.dumps(answer.decode())


def download(api: Api, job: str, megabytes: int) -> None:
    """Reads until the last chunk, as a caller that knows how much there is."""
    with api.raw(f"GET /api/v2/batchPredictions/{job}/download/ HTTP/1.1\r\nConnection: close") as connection:
        received = 0
        while block := connection.recv(1 << 18):
            received += len(block)
    assert received > megabytes * MEGABYTE


if __name__ == "__main__":
    main()
