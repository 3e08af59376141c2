"""The command `reconciler serve`: where it listens, who may come in, and how it ends."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from program import BOTTLES, COMMAND, LIMIT_SECONDS, answered, bottles, environment, project, rows, run, serving

SECRET = "s3cr3t-of-nobody-else"
MANY = 3000  # times the wines: some seconds of scoring


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """For what leaves the server as it was."""
    with serving(project(tmp_path_factory.mktemp("serve"))) as running:
        yield running


def listeners(port):
    """The addresses that something listens at, as Linux tells them."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return {line[1].split(":")[0] for line in lines if line[3] == "0A" and int(line[1].split(":")[1], 16) == port}


def given(program, *values):
    """The status and the body for these Authorization headers."""
    head = "".join(f"Authorization: {value}\r\n" for value in values).encode("latin-1")
    with program.connect() as connection:
        connection.sendall(b"GET /api/v2/batchPredictions/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n")
        answer = b""
        while block := connection.recv(65536):
            answer += block
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json\r\n" in head.lower() + b"\r\n"
    return int(head.split()[1]), json.loads(body)


def test_it_listens_on_loopback_at_a_port_of_its_own_choice(program):
    assert program.document["endpoint"] == f"http://127.0.0.1:{program.port}/api/v2"
    assert program.port > 0
    assert listeners(program.port) == {"0100007F"}
    assert program.http.get("version/").json()["versionString"]


def test_its_deployments_are_those_it_prints(program):
    listed = program.http.get("deployments/").json()["data"]
    assert {item["label"]: item["id"] for item in listed} == program.deployments


def test_text_says_how_to_reach_it(tmp_path):
    command = [*COMMAND, "serve", "-port", "0"]
    with subprocess.Popen(command, cwd=project(tmp_path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        shown = [process.stdout.readline() for _ in range(10)]
        process.terminate()
        rest, trouble = process.communicate(timeout=LIMIT_SECONDS)
    text = "".join(shown) + rest
    assert text.startswith("Serving the Batch Prediction API at http://127.0.0.1:")
    assert 'DATAROBOT_API_TOKEN="$(cat state/reconciler.serve/local/token)"' in text
    assert "wine" in text
    assert (process.returncode, trouble) == (0, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_another_address_than_loopback_is_refused(tmp_path, host):
    ended = run(project(tmp_path), "-host", host, "-port", "0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "is not a loopback address" in ended.stderr
    assert "-allow-remote" in ended.stderr


def test_another_address_is_served_when_that_is_asked_for(tmp_path):
    with serving(project(tmp_path), "-host", "0.0.0.0", "-allow-remote") as program:
        assert listeners(program.port) == {"00000000"}


def test_a_port_in_use_is_said(tmp_path, program):
    ended = run(project(tmp_path), "-port", str(program.port), "-json")
    assert ended.returncode == 1
    [said] = json.loads(ended.stdout)["diagnostics"]
    assert f"127.0.0.1:{program.port}" in said["summary"]
    assert "Address already in use" in said["detail"]
    assert "Traceback" not in ended.stderr


def test_a_token_is_made_once_and_only_its_owner_reads_it(tmp_path):
    with serving(project(tmp_path)) as first:
        path = tmp_path / "storage" / "token"
        assert first.document["token_file"] == str(path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert len(first.token) >= 32
        assert first.end() == 0
    with serving(tmp_path) as second:
        assert second.token == first.token
    assert [found.name for found in path.parent.glob("token*")] == ["token"]


def test_an_empty_token_file_lets_nobody_in(tmp_path):
    (project(tmp_path) / "storage").mkdir()
    (tmp_path / "storage" / "token").touch()
    ended = run(tmp_path, "-storage", "storage", "-port", "0")
    assert ended.returncode == 1
    assert "The token file is empty" in ended.stderr


@pytest.mark.parametrize("storage", ["/dev/null/storage", "specs/deployments.yaml"])
def test_a_storage_that_cannot_be_is_said(tmp_path, storage):
    for variables in ({}, {"DATAROBOT_API_TOKEN": SECRET}):
        ended = run(project(tmp_path), "-storage", storage, "-port", "0", **variables)
        assert ended.returncode == 1
        assert storage in ended.stderr
        assert "Traceback" not in ended.stderr


def test_the_token_of_the_environment_wins_and_is_written_nowhere(tmp_path):
    with serving(project(tmp_path)) as first:
        made = first.token
        first.end()
    with serving(tmp_path, DATAROBOT_API_TOKEN=SECRET) as program:
        assert program.document["token_file"] is None
        assert given(program, f"Token {SECRET}")[0] == 200
        assert given(program, f"Token {made}")[0] == 401
        job = program.create()
        program.upload(job)
        program.until(job, "COMPLETED")
        assert program.end() == 0
        assert SECRET not in program.process.stdout.read() + json.dumps(program.document) + program.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 10
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "bearer", "TOKEN"])
def test_both_schemes_are_taken(program, scheme):
    assert given(program, f"{scheme} {program.token}")[0] == 200


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="none"),
        pytest.param([""], id="empty"),
        pytest.param(["Token"], id="scheme-only"),
        pytest.param(["Token \x85"], id="odd-space"),
        pytest.param(["Bearer \xa0"], id="no-break-space"),
        pytest.param(["Token wrong"], id="wrong"),
        pytest.param(["Token {}x"], id="longer"),
        pytest.param(["{}"], id="no-scheme"),
        pytest.param(["Basic {}"], id="other-scheme"),
        pytest.param(["Token{}"], id="no-space"),
        pytest.param(["Token Bearer {}"], id="two-schemes"),
        pytest.param(["Token {}, Token {}"], id="list"),
        pytest.param(["Token {}", "Token {}"], id="twice"),
        pytest.param(["Token wrong", "Bearer {}"], id="wrong-and-right"),
        pytest.param(["Token \xe9\xff"], id="non-latin"),
        pytest.param(["Token " + "x" * 20_000], id="long"),
    ],
)
def test_nothing_else_opens(program, values):
    status, body = given(program, *(value.replace("{}", program.token) for value in values))
    assert status == 401
    assert "token is missing or wrong" in body["message"]


@pytest.mark.parametrize("path", ["version/", "openapi.yaml", "nowhere", "batchPredictions/x/csvUpload/", "../../"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "BREW"])
def test_without_the_token_all_is_one(program, method, path):
    answer = program.http.request(method, path, headers={"Authorization": ""})
    assert answer.status_code == 401


def test_two_servers_never_share_a_storage(tmp_path):
    with serving(project(tmp_path)) as first:
        second = run(tmp_path, "-storage", str(tmp_path / "storage"), "-port", "0")
        assert second.returncode == 1
        assert second.stdout == ""
        assert "already running" in second.stderr
        assert str(tmp_path / "storage") in second.stderr
        assert first.http.get("version/").status_code == 200


def test_without_specs_it_says_so(tmp_path):
    ended = run(tmp_path, "-port", "0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "specs" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_has_examples():
    ended = subprocess.run([*COMMAND, "serve", "-help"], capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert ended.returncode == 0
    examples = ended.stdout.partition("Examples:")[2]
    assert "reconciler serve -storage /var/lib/scoring" in examples
    for option in ("-host", "-port", "-allow-remote", "-storage", "-retention", "-upload-limit", "-patience", "-json"):
        assert option in ended.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_that_runs_goes_back_to_the_queue_and_is_finished_by_the_next_start(tmp_path, number):
    with serving(project(tmp_path)) as program:
        idle, half = program.connect(), program.connect()
        half.sendall(b"GET /api/v2/ver")
        job = program.create()
        program.upload(job, rows(MANY))
        program.until(job, "RUNNING")
        assert program.end(number) == 0
        assert program.stderr == ""
        idle.close()
        half.close()
    with serving(tmp_path) as program:
        ended = program.until(job, "COMPLETED")
        assert ended["id"] == job
        assert any("queued again" in line for line in ended["logs"])
        assert bottles(program.download(job).text) == [line.split(",")[0] for line in BOTTLES] * MANY


def test_an_ending_server_finishes_what_it_answers(tmp_path):
    """The download of a job that still runs is whole; an upload that says nothing more is refused."""
    with serving(project(tmp_path), "-patience", "2") as program:
        job, cut = program.create(), program.create()
        program.upload(job, rows(MANY))
        program.until(job, "RUNNING")
        with program.half_open(cut) as upload, program.http.stream("GET", f"batchPredictions/{job}/download/") as download:
            program.send(signal.SIGTERM)
            result = "".join(download.iter_text())
            assert b"408" in upload.recv(4096)
        assert program.process.wait(LIMIT_SECONDS) == 0
        assert len(bottles(result)) == MANY * len(BOTTLES)
        assert "Traceback" not in program.stderr
    with serving(tmp_path) as program:
        assert program.job(job)["status"] == "COMPLETED"
        assert program.job(cut)["status"] == "ABORTED"
        assert "nothing came for 2 seconds" in program.job(cut)["statusDetails"]


def test_a_second_signal_waits_for_nobody(tmp_path):
    with serving(project(tmp_path)) as program:
        job, cut = program.create(), program.create()
        program.upload(job, rows(MANY))
        program.until(job, "RUNNING")
        with program.half_open(cut) as upload, program.raw(f"GET /api/v2/batchPredictions/{job}/download/ HTTP/1.1") as download:
            assert download.recv(12) == b"HTTP/1.1 200"
            program.send(signal.SIGINT)
            with pytest.raises(OSError):
                while True:  # until the first signal is heard
                    socket.create_connection(("127.0.0.1", program.port), timeout=LIMIT_SECONDS).close()
            assert program.end(signal.SIGINT) == 0
            assert b"503" in answered(upload)
        assert "Traceback" not in program.stderr
    with serving(tmp_path) as program:
        assert (program.job(cut)["status"], program.job(cut)["statusDetails"]) == ("ABORTED", "the upload was cut off")
        assert len(bottles(program.download(job).text if program.until(job, "COMPLETED") else "")) == MANY * len(BOTTLES)
