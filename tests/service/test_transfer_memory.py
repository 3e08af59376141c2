"""The memory of a served service beside the size of what goes through it, and its descriptors when all is over."""

import pytest
from service.live import CSV, child, wait_for

MEGABYTE = 1 << 20
ALLOWED = 24 * MEGABYTE  # threads' stacks and buffers; an intake or a result in memory would be twice as much


def blocks(count):
    yield b"copy\n"
    for _ in range(count):
        yield b"0123456789abcde\n" * (MEGABYTE // 16)


def through(api, churn, count, parts=1):
    """Uploads, and reads the result while it grows; the bytes that came back."""
    job = api.create(churn, {"multipart": parts > 1})["id"]
    if parts == 1:
        assert api.upload(job, blocks(count)).status_code == 202
    else:
        for number in range(parts):
            assert api.part(job, number, blocks(count // parts)).status_code == 202
        assert api.finalize(job).status_code == 202
    api.until(job, "RUNNING", "COMPLETED")
    with api.http.stream("GET", f"batchPredictions/{job}/download/") as download:
        return sum(len(chunk) for chunk in download.iter_raw())


@pytest.mark.parametrize("parts", [1, 5])
def test_memory_does_not_grow_with_what_goes_through(house, parts):
    churn = house.deployments["churn"]
    with child(house.storage, {churn.id: str(churn.folder)}) as server:
        assert through(server.api, churn.id, 1) == MEGABYTE + 5
        before = server.memory("VmHWM")
        assert through(server.api, churn.id, 50, parts) == 50 * MEGABYTE + 5
        assert server.memory("VmHWM") - before < ALLOWED


def test_thirty_callers_that_come_and_go_leave_no_descriptor(house):
    churn = house.deployments["churn"]
    with child(house.storage, {churn.id: str(churn.folder)}) as server:
        api = server.api
        done = api.create(churn.id)["id"]
        api.upload(done, b"copy\n1\n")
        api.until(done, "COMPLETED")
        before = server.descriptors()
        callers = [api.half_open(api.create(churn.id)["id"]) for _ in range(15)]
        callers += [api.raw(f"GET /api/v2/batchPredictions/{done}/download/ HTTP/1.1") for _ in range(15)]
        wait_for(lambda: server.descriptors() >= before + 30)
        for caller in callers:
            caller.close()
        wait_for(lambda: server.descriptors() <= before)
        assert api.upload(api.create(churn.id)["id"], b"copy\n1\n", CSV).status_code == 202
