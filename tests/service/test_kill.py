"""SIGKILL at any moment: whatever was accepted is scored in the end, each key once. `RECONCILER_KILL_ROUNDS=200` runs it long."""

import json
import os
import random
import subprocess
import sys
import time

ROUNDS = int(os.environ.get("RECONCILER_KILL_ROUNDS", "4"))

# Submits job after job, each with a key, says which were accepted, and scores them slowly enough to be killed in the middle.
CHILD = """
import json, sys, time
from pathlib import Path
from reconciler.engine.job import Tally
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

storage, folders, specs, first = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4])

def score(job, *, report, is_cancelled):
    job.output.write_text("half")
    time.sleep(0.004)
    job.output.write_text(job.intake.name)
    return Tally(2, 0, 0, 9, 5)

with Service(storage, Registry(LocalDeployment(id, id, Path(folder)) for id, folder in folders.items()), workers=2, score=score) as service:
    print("ready", flush=True)
    for number, spec in enumerate(specs[first:], first):
        print(json.dumps([number, service.submit(spec, "127.0.0.1", f"key-{number}").id]), flush=True)
    time.sleep(20)
"""


def accepted_before_the_kill(house, specs, first, after):
    folders = json.dumps({deployment.id: str(deployment.folder) for deployment in house.deployments.values()})
    arguments = [sys.executable, "-c", CHILD, str(house.storage), folders, json.dumps(specs), str(first)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        time.sleep(after)
        child.kill()
        return dict(json.loads(line) for line in child.stdout if line.endswith("\n"))


def test_nothing_accepted_is_lost_or_made_twice(house, client_of):
    specs = [house.spec(f"job-{number}", deployment=("churn", "fraud")[number % 2]) for number in range(60)]
    accepted = {}
    for number in range(ROUNDS):
        first = max(accepted, default=0) % len(specs)  # the last accepted one is sent again, as after a lost answer
        made = accepted_before_the_kill(house, specs, first, random.Random(number).uniform(0, 0.12))
        assert {key: accepted.get(key, job_id) for key, job_id in made.items()} == made
        accepted |= made
    with house.service() as service:
        client = client_of(service)
        jobs = [client.until(job_id, "COMPLETED") for job_id in client.ids("?limit=1000")]
    assert set(accepted.values()) <= {job["id"] for job in jobs}
    outputs = [job["jobSpec"]["outputSettings"]["path"] for job in jobs]
    assert len(set(outputs)) == len(outputs)
    assert all("half" not in house.output(f"job-{number}").read_text() for number in accepted)
