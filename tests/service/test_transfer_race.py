"""Uploads, second uploads, parts and deletions of the same jobs at once: every answer is lawful, and nothing stays open or on the disk."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from service.live import serving, wait_for

LAWFUL = {202, 404, 409, 422}


def one_job(api, deployment, seed):
    """What the callers of one job were answered: uploads, then the deletion, which may come before, in between or after."""
    chance = random.Random(seed)
    job = api.create(deployment, {"multipart": seed % 3 == 0, "async": seed % 2 == 0})["id"]
    rows = f"copy\n{job}\n".encode() * chance.choice([1, 50_000])
    deletions = []
    timer = threading.Timer(chance.uniform(0, 0.05), lambda: deletions.append(api.delete(job).status_code))
    if chance.random() < 0.6:
        timer.start()
    if seed % 3:
        attempts = [lambda: api.upload(job, rows).status_code] * 2
    else:
        parts = [api.part(job, number, rows).status_code for number in range(2)]
        assert set(parts) <= LAWFUL
        attempts = [lambda: api.finalize(job).status_code] * 2
    with ThreadPoolExecutor(2) as pool:
        answers = [future.result() for future in [pool.submit(attempt) for attempt in attempts]]
    if timer.ident:
        timer.join()
    return job, answers, deletions


def test_callers_at_odds_with_each_other_break_nothing(house):
    with house.service() as service, serving(service) as api:
        deployments = [deployment.id for deployment in house.deployments.values()]
        with ThreadPoolExecutor(6) as pool:
            done = list(pool.map(lambda seed: one_job(api, deployments[seed % 2], seed), range(36)))
        for job, answers, deletions in done:
            assert set(answers) | set(deletions) <= LAWFUL
            assert answers.count(202) <= 1
            ended = api.until(job, "COMPLETED", "ABORTED")
            assert 202 in answers or ended["status"] == "ABORTED"
            assert 202 in deletions or ended["status"] == "COMPLETED"
        kept = {job for job, *_ in done if api.job(job)["status"] == "COMPLETED"}
        wait_for(lambda: {path.stem for folder in ("uploads", "results") for path in (house.storage / folder).iterdir()} == kept)
