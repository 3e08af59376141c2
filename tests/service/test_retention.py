"""How long files are kept: 48 hours after the end, not a moment after a deletion, and orphans not past a start."""

from datetime import timedelta

import pytest
from service.live import serving, wait_for

from reconciler.service import moment
from reconciler.service.retention import STALLED

ROWS = b"copy\n1\n2\n"


class Clock:
    def __init__(self):
        self.ahead = timedelta(0)

    def __call__(self):
        return moment.now() + self.ahead


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def api(house, clock):
    with house.service(clock=clock) as service, serving(service) as served:
        yield served


def scored(api, house, **options):
    job = api.create(house.deployments["churn"].id, **options)["id"]
    api.upload(job, ROWS)
    api.until(job, "COMPLETED")
    return job


def files(house):
    return sorted(path.name for folder in ("uploads", "results") for path in (house.storage / folder).iterdir())


def test_files_are_kept_for_48_hours_and_the_job_for_ever(api, house, clock):
    old = scored(api, house)
    clock.ahead = timedelta(hours=47.9)
    young = scored(api, house)
    assert api.download(old).content == b"copy\n1\n2"
    clock.ahead = timedelta(hours=48.1)
    last = scored(api, house)  # the end of a job makes the sweeper look
    wait_for(lambda: api.job(old)["resultsDeleted"])
    shown = api.job(old)
    assert (shown["status"], shown["links"]["download"], api.download(old).status_code) == ("COMPLETED", None, 404)
    assert "no longer kept" in api.download(old).json()["message"]
    wait_for(lambda: files(house) == sorted([f"{young}.csv", f"{last}.csv"] * 2))
    assert not api.job(young)["resultsDeleted"]


def test_an_output_of_the_users_is_never_removed(api, house, clock):
    job = scored(api, house, output={"type": "fileSystem", "path": str(house.output("mine"))})
    clock.ahead = timedelta(hours=49)
    scored(api, house)
    wait_for(lambda: api.job(job)["resultsDeleted"])
    assert house.output("mine").read_bytes() == b"copy\n1\n2"


def test_a_deleted_job_leaves_no_file(api, house):
    held = api.create(house.deployments["churn"].id)["id"]
    api.upload(held, b"hold\n1\n")
    api.until(held, "RUNNING")
    queued = api.create(house.deployments["churn"].id)["id"]
    api.upload(queued, ROWS)
    parts = api.create(house.deployments["churn"].id, {"multipart": True})["id"]
    api.part(parts, 0, ROWS)
    for job in (held, queued, parts):
        assert api.delete(job).status_code == 202
    wait_for(lambda: files(house) == [])
    assert {api.job(job)["status"] for job in (held, queued, parts)} == {"ABORTED"}
    assert api.delete(queued).status_code == 409


def test_parts_that_are_never_finished_do_not_stay(api, house, clock):
    job = api.create(house.deployments["churn"].id, {"multipart": True})["id"]
    api.part(job, 0, ROWS)
    clock.ahead = timedelta(hours=49)
    scored(api, house)
    assert api.until(job, "ABORTED")["statusDetails"] == STALLED
    wait_for(lambda: not any(job in name for name in files(house)))


def test_a_retention_may_be_shorter(house):
    with house.service(retention=timedelta(0)) as service, serving(service) as api:
        job = api.create(house.deployments["churn"].id)["id"]
        api.upload(job, ROWS)
        api.until(job, "COMPLETED")
        wait_for(lambda: api.job(job)["resultsDeleted"] and files(house) == [])


def test_what_belongs_to_no_job_is_removed_at_a_start(house, clock):
    with house.service(clock=clock) as service, serving(service) as api:
        kept = scored(api, house)
    for folder, name in (("uploads", "x.csv"), ("uploads", "x.new"), ("results", "x.csv"), ("uploads", f"{kept}.new")):
        (house.storage / folder / name).write_text("orphan")
    (house.storage / "uploads" / "x.parts").mkdir()
    (house.storage / "uploads" / "x.parts" / "0").write_text("orphan")
    with house.service(clock=clock):
        assert files(house) == [f"{kept}.csv"] * 2
