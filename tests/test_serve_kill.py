"""SIGKILL of `reconciler serve` at any moment: what was accepted is scored in the end, once. `RECONCILER_KILL_ROUNDS=50` runs it long."""

import os
import random
import signal
import threading
import time

import httpx
from program import BOTTLES, HEADER, LOCAL, bottles, project, serving

ROUNDS = int(os.environ.get("RECONCILER_KILL_ROUNDS", "2"))
CLIENTS = 4
MOMENTS = (0.05, 2.0)
SLOW = 4000  # rows' times: some hundred milliseconds of scoring
CUT = "the upload was cut off"


class Ledger:
    """What the clients were answered: the rows of each job, and whether its upload was confirmed."""

    def __init__(self):
        self.sent = {}
        self.accepted = set()
        self.results = {}
        self.outputs = {}


def own_rows(label, times):
    """Wines that bear this label, so that no job's result passes for another's."""
    lines = [f"{label}-{number}{line[line.index(',') :]}" for number, line in enumerate(BOTTLES * times)]
    return [line.partition(",")[0] for line in lines], "\n".join([HEADER, *lines]).encode()


def pieces(content):
    """Sent in chunks with a breath in between, so that a kill finds uploads half done."""
    for start in range(0, len(content), 1 << 16):
        yield content[start : start + (1 << 16)]
        time.sleep(0.002)


def work(program, ledger, client, turn, folder):
    """One job after the other until the server dies."""
    try:
        for number in range(10_000):
            label = f"{turn}.{client}.{number}"
            names, content = own_rows(label, 1 if number % 3 else SLOW // 100)
            output = LOCAL
            if number % 4 == 3:
                output = {"type": "fileSystem", "path": str(folder / f"{label}.csv")}
            job = program.create({"type": "localFile", "async": bool(number % 2)}, output)
            ledger.sent[job] = names
            if output is not LOCAL:
                ledger.outputs[job] = output["path"]
            if program.upload(job, pieces(content) if number % 5 == 0 else content).status_code == 202:
                ledger.accepted.add(job)
            if output is LOCAL and number % 2 and program.until(job, "COMPLETED"):
                ledger.results[job] = program.download(job).content
    except (httpx.TransportError, AssertionError):
        return  # killed; an assertion is a bug only when the server lives


def test_nothing_accepted_is_lost_and_nothing_is_scored_twice(tmp_path):
    ledger, chance = Ledger(), random.Random(os.environ.get("RECONCILER_KILL_SEED", "1"))
    project(tmp_path)
    for turn in range(ROUNDS):
        with serving(tmp_path) as program:
            threads = [threading.Thread(target=work, args=(program, ledger, client, turn, tmp_path)) for client in range(CLIENTS)]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(*MOMENTS))
            assert program.process.poll() is None
            program.send(signal.SIGKILL)
            program.process.wait()
            for thread in threads:
                thread.join()
        assert "Traceback" not in program.stderr
    assert ledger.sent
    with serving(tmp_path) as program:
        jobs = {job["id"]: job for job in program.http.get("batchPredictions/?limit=1000").json()["data"]}
        assert ledger.sent.keys() <= jobs.keys()
        for job in jobs:
            ended = program.until(job, "COMPLETED", "ABORTED", *(() if job in ledger.accepted else ("INITIALIZING",)))
            if job in ledger.accepted:
                assert ended["status"] == "COMPLETED", ended
            if ended["status"] == "ABORTED":
                assert ended["statusDetails"] == CUT
            elif ended["status"] == "COMPLETED":
                check_result(program, ledger, ended)
            else:  # nothing of its rows had come: it waits for them, and not for a worker
                assert not ended["queued"] or program.until(job, "COMPLETED")
        ids = program.http.get("batchPredictions/?limit=1000&status=RUNNING").json()["data"]
        assert ids == []
        assert program.end() == 0
        assert "Traceback" not in program.stderr


def check_result(program, ledger, job):
    """Each row once, in order; what was downloaded before the kill is what is there after it; and each output has one job."""
    assert sum("done processing" in line for line in job["logs"]) == 1
    assert job["scoredRows"] == len(ledger.sent[job["id"]])
    if job["id"] in ledger.outputs:
        with open(ledger.outputs[job["id"]]) as file:
            text = file.read()
    else:
        text = program.download(job["id"]).text
    assert bottles(text) == ledger.sent[job["id"]]
    if job["id"] in ledger.results:
        assert ledger.results[job["id"]] == text.encode()
