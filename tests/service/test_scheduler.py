"""The scheduler: one job for one due time, late once, never twice, and off unless it is asked for. The clock is the test's."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.service.scheduler import Scheduler

PATH = "batchPredictionJobDefinitions/"
EVERY = {"minute": ["*"], "hour": ["*"], "dayOfMonth": ["*"], "month": ["*"], "dayOfWeek": ["*"]}
HOURLY = EVERY | {"minute": [0]}


class Clock:
    def __init__(self):
        self.now = datetime(2026, 11, 21, 10, 30, 20, tzinfo=UTC)

    def __call__(self):
        return self.now

    def at(self, hour, minute, day=21):
        self.now = datetime(2026, 11, day, hour, minute, 1, tzinfo=UTC)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def service(house, clock):
    with house.service(clock=clock) as running:
        yield running


@pytest.fixture
def scheduler(service):
    return Scheduler(service.stores.definitions, service.run_scheduled, service.clock)


@pytest.fixture
def hourly(house, client):
    return define(client, house.spec("a"))


def define(client, spec, **more):
    answer = client.request("POST", PATH, json=spec | {"enabled": True, "schedule": HOURLY} | more)
    assert answer.status_code == 202, answer.text
    return answer.json()


def shown(client, made):
    return client.get(f"{PATH}{made['id']}/").json()


def jobs(client):
    return [client.until(job_id, "COMPLETED", "ABORTED") for job_id in client.ids("?orderBy=created")]


def test_nothing_runs_before_its_time(client, clock, scheduler, hourly):
    assert hourly["nextScheduledRunTime"] == "2026-11-21T11:00:00.000000Z"
    clock.at(10, 59)
    scheduler.run_due()
    assert jobs(client) == []


def test_what_is_due_runs_once(client, clock, scheduler, hourly):
    clock.at(11, 0)
    scheduler.run_due()
    scheduler.run_due()
    (job,) = jobs(client)
    assert (job["source"], job["batchPredictionJobDefinition"]["id"]) == ("Scheduled Run", hourly["id"])
    after = shown(client, hourly)
    assert (after["lastScheduledRunTime"], after["nextScheduledRunTime"]) == ("2026-11-21T11:00:00.000000Z", "2026-11-21T12:00:00.000000Z")
    assert (after["lastStartedJobStatus"], after["updated"]) == ("COMPLETED", hourly["updated"])
    clock.at(12, 0)
    scheduler.run_due()
    assert len(jobs(client)) == 2


def test_runs_that_were_missed_are_made_up_for_once(client, clock, scheduler, hourly):
    clock.at(15, 20, day=25)
    scheduler.run_due()
    scheduler.run_due()
    assert len(jobs(client)) == 1
    assert shown(client, hourly)["nextScheduledRunTime"] == "2026-11-25T16:00:00.000000Z"


def test_a_disabled_and_a_deleted_definition_do_not_run(house, client, clock, scheduler, hourly):
    other = define(client, house.spec("b"))
    client.request("PATCH", f"{PATH}{hourly['id']}", json={"enabled": False})
    client.request("DELETE", f"{PATH}{other['id']}/")
    clock.at(11, 0)
    scheduler.run_due()
    assert jobs(client) == []


def test_disabling_stops_no_running_job(house, client, clock, scheduler):
    made = define(client, house.spec("a", "hold"))
    clock.at(11, 0)
    scheduler.run_due()
    (held,) = client.ids()
    client.until(held, "RUNNING")
    client.request("PATCH", f"{PATH}{made['id']}", json={"enabled": False})
    house.scorer.gate.set()
    assert client.until(held, "COMPLETED", "ABORTED")["status"] == "COMPLETED"


def test_a_process_that_dies_between_the_job_and_the_definition_makes_no_second_job(client, clock, service, scheduler, hourly):
    clock.at(11, 0)
    due = service.stores.definitions.due(clock())[0]
    service.run_scheduled(due, f"schedule:{due.id}:{due.next_run}")  # and dies here
    scheduler.run_due()
    assert len(jobs(client)) == 1
    assert shown(client, hourly)["nextScheduledRunTime"] == "2026-11-21T12:00:00.000000Z"


def test_a_run_that_is_refused_is_logged_shown_and_not_tried_again_at_once(house, client, clock, scheduler, hourly, caplog):
    other = define(client, house.spec("b"))
    (house.deployments["churn"].folder / "model.lgb").rename(house.folder / "model.lgb")
    clock.at(11, 0)
    scheduler.run_due()
    scheduler.run_due()
    assert caplog.text.count("could not be run") == 2  # one line for each definition
    for made in (hourly, other):
        after = shown(client, made)
        assert (after["lastFailedRunTime"], after["lastStartedJobTime"]) == ("2026-11-21T11:00:01.000000Z", None)
        assert after["nextScheduledRunTime"] == "2026-11-21T12:00:00.000000Z"
    (house.folder / "model.lgb").rename(house.deployments["churn"].folder / "model.lgb")
    clock.at(12, 0)
    scheduler.run_due()
    assert len(jobs(client)) == 2


def test_a_change_while_it_runs_is_not_overwritten(client, clock, service, scheduler, hourly):
    clock.at(11, 0)
    due = service.stores.definitions.due(clock())[0]
    changed = client.request("PATCH", f"{PATH}{hourly['id']}", json={"schedule": EVERY}).json()
    service.stores.definitions.ran(due, clock(), is_refused=False)
    assert shown(client, hourly)["nextScheduledRunTime"] == changed["nextScheduledRunTime"] == "2026-11-21T11:01:00.000000Z"


def test_an_impossible_schedule_never_runs(house, client, clock, scheduler):
    made = define(client, house.spec("a"), schedule=EVERY | {"dayOfMonth": [31], "month": ["feb"]})
    clock.now += timedelta(days=4000)
    scheduler.run_due()
    assert (made["nextScheduledRunTime"], jobs(client)) == (None, [])


def test_the_thread_runs_only_when_it_is_asked_for(house, client_of, clock):
    with house.service(clock=clock) as service:
        define(client_of(service), house.spec("a"))
        clock.at(11, 0)
        time.sleep(0.05)
        assert client_of(service).ids() == []
    with house.service(clock=clock, schedules=True) as service:
        client = client_of(service)
        limit = time.monotonic() + 20
        while not client.ids():
            assert time.monotonic() < limit
            time.sleep(0.005)
        assert jobs(client)[0]["source"] == "Scheduled Run"
