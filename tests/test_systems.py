"""Plan and apply over other systems: what is scored, what is noticed, and what is never kept. Real servers, real models, the whole program."""

import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from house import REPOSITORY, Reconciler, run_child
from servers.azurite import Azurite
from servers.clouds import s3_cloud
from servers.google_keys import Keys, running_keys
from servers.seaweed import Seaweed
from systems import SYSTEMS, Objects, Rows, System, Tables, csv_rows, csv_text, other

from reconciler.planning import make_plan
from reconciler.project import Project
from reconciler.view.plan import reason_text

DYING = Path(__file__).parent / "dying.py"
# Every step: RECONCILER_KILL_ROUNDS=1 pytest tests/test_systems.py
STRIDE = 1 if "RECONCILER_KILL_ROUNDS" in os.environ else 4
NUMBERS = itertools.count()
WINES = csv_rows((REPOSITORY / "specs/data/wine.csv").read_text())[:20]
LOCAL = {"type": "localFile"}
SEA = {"aws_access_key_id": "${env.NOBODY_HAS_SET_THIS}", "aws_secret_access_key": "${env.NOR_THIS}"}
Write = Callable[..., None]


@pytest.fixture(scope="session")
def google_keys() -> Iterator[Keys]:
    with running_keys() as keys:
        yield keys


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> System:
    made = SYSTEMS[request.param](request, f"house-{next(NUMBERS)}")
    tell(made, monkeypatch)
    return made


@pytest.fixture
def lake(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """One system, for what is the same with all of them."""
    made = Objects(s3_cloud(seaweed, f"house-{next(NUMBERS)}"))
    tell(made, monkeypatch)
    return made


def tell(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its secrets are in the environment from now on."""
    for name, secret in system.secrets.items():
        monkeypatch.setenv(name, secret)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPOSITORY / "specs/models/wine", tmp_path / "specs/models/wine")
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture
def write(root: Path) -> Write:
    """Writes the specs: jobs by their intake, output and further keys."""

    def writer(openers: Any, **jobs: dict[str, Any]) -> None:
        sides = {"intake": "intake_settings", "output": "output_settings"}
        bodies = {
            name: {"deployment": "wine", "passthrough_columns": ["bottle_id"], **{sides.get(key, key): value for key, value in job.items()}}
            for name, job in jobs.items()
        }
        document = {"deployments": {"wine": {"local": "specs/models/wine"}}, **openers, "jobs": bodies}
        (root / "specs/jobs.yaml").write_text(json.dumps(document, indent=2))

    return writer


def local(root: Path, name: str, rows: Rows) -> dict[str, Any]:
    """An intake that is a file here."""
    (root / "data" / name).write_text(csv_text(rows))
    return {**LOCAL, "file": f"data/{name}"}


def to(name: str) -> dict[str, Any]:
    return {**LOCAL, "path": f"out/{name}"}


def apply(reconciler: Reconciler) -> str:
    said = reconciler("apply", "-auto-approve", "-no-color")
    assert said.code == 0, said.out + said.err
    return said.out


def is_up_to_date(reconciler: Reconciler) -> bool:
    said = reconciler("plan", "-detailed-exitcode")
    assert said.code in (0, 2), said.err
    return said.code == 0


def reasons(root: Path) -> dict[str, list[str]]:
    made = make_plan(Project(root, root / "state/reconciler.db"))
    return {change.address: [reason_text(reason, change) for reason in change.reasons] for change in made.changes}


def scores(rows: Rows) -> list[tuple[str, ...]]:
    """Of each row; numbers without their spelling, which is another one in a table than in a file."""
    return sorted((row["bottle_id"], *(_plain(row[name]) for name in sorted(row) if name.endswith("_PREDICTION"))) for row in rows)


def _plain(text: str) -> str:
    try:
        return f"{float(text):.6f}"
    except ValueError:
        return text


def kept(root: Path) -> bytes:
    """Every byte that the program has written."""
    return b"".join(path.read_bytes() for folder in ("state", "out") for path in sorted((root / folder).rglob("*")) if path.is_file())


def test_what_was_scored_is_up_to_date_until_one_row_changes_at_its_source(system: System, root: Path, write: Write, reconciler: Reconciler) -> None:
    write(
        system.openers,
        first={**system.make("in_first.csv", WINES), "output": system.output("out_first.csv")},
        second={**system.make("in_second.csv", WINES[:7]), "output": system.output("out_second.csv")},
        here={"intake": local(root, "here.csv", WINES), "output": to("here.csv")},
    )
    assert {address: why for address, (why,) in reasons(root).items()} == dict.fromkeys(("job.first", "job.second", "job.here"), "never run")
    said = apply(reconciler)
    here = csv_rows((root / "out/here.csv").read_text())
    assert scores(system.read("out_first.csv")) == scores(here)
    assert scores(system.read("out_second.csv")) == scores(here[:7])
    assert is_up_to_date(reconciler)  # decided anew, and remembered
    assert is_up_to_date(reconciler)

    system.change("in_first.csv", other(WINES))
    ((address, (why,)),) = reasons(root).items()
    assert (address, why.split(":")[0]) == ("job.first", "intake changed")
    assert "in_first" in why
    assert (" → " in why) is not system.is_here
    said += apply(reconciler)
    assert scores(system.read("out_first.csv")) != scores(here)
    assert scores(system.read("out_second.csv")) == scores(here[:7])
    assert len(system.read("out_first.csv")) == (2 if system.appends else 1) * len(WINES)
    assert is_up_to_date(reconciler)

    shown = [reconciler(*args).out for args in (("state", "show", "job.first"), ("history",), ("history", "-json"), ("why", "job.first"))]
    for secret in system.secrets.values():
        assert secret not in said + "".join(shown)
        assert secret.encode() not in kept(root)


def test_rows_go_from_a_system_to_a_file_and_from_a_file_to_a_system(system: System, root: Path, write: Write, reconciler: Reconciler) -> None:
    write(
        system.openers,
        down={**system.make("in_down.csv", WINES), "output": to("down.csv")},
        up={"intake": local(root, "up.csv", WINES), "output": system.output("out_up.csv")},
    )
    apply(reconciler)
    assert scores(csv_rows((root / "out/down.csv").read_text())) == scores(system.read("out_up.csv"))
    assert is_up_to_date(reconciler)
    system.change("in_down.csv", other(WINES))
    local(root, "up.csv", other(WINES))
    assert sorted(reasons(root)) == ["job.down", "job.up"]


def test_job_reads_what_another_has_written_to_a_system(lake: Objects, root: Path, write: Write, reconciler: Reconciler) -> None:
    intake = lake.make("raw.csv", WINES)["intake"]
    write(
        lake.openers,
        first={"intake": intake, "output": lake.output("scored.csv"), "passthrough_columns": None, "passthrough_columns_set": "all"},
        second={"intake": {**intake, "url": "${job.first.output}"}, "output": to("last.csv")},
    )
    assert sorted(reasons(root)) == ["job.first", "job.second"]
    apply(reconciler)
    assert len(csv_rows((root / "out/last.csv").read_text())) == len(WINES)
    assert is_up_to_date(reconciler)
    lake.change("raw.csv", other(WINES))
    assert reasons(root)["job.second"] == ["upstream reruns"]
    apply(reconciler)
    assert is_up_to_date(reconciler)


def test_output_that_is_gone_is_written_anew_and_what_reads_it_too(lake: Objects, root: Path, write: Write, reconciler: Reconciler) -> None:
    intake = lake.make("raw.csv", WINES)["intake"]
    write(
        lake.openers,
        first={"intake": intake, "output": lake.output("gone.csv"), "passthrough_columns": None, "passthrough_columns_set": "all"},
        second={"intake": {**intake, "url": "${job.first.output}"}, "output": to("last.csv")},
    )
    apply(reconciler)
    lake.cloud.remove("gone.csv")
    assert reasons(root) == {"job.first": [f"output missing: {lake.cloud.url('gone.csv')}"], "job.second": ["upstream reruns"]}
    apply(reconciler)
    assert is_up_to_date(reconciler)


def test_job_reads_the_folder_that_another_writes_into(lake: Objects, root: Path, write: Write, reconciler: Reconciler) -> None:
    write(
        lake.openers,
        first={**lake.make("raw.csv", WINES), "output": lake.output("folder/a.csv"), "passthrough_columns": None, "passthrough_columns_set": "all"},
        second={"intake": lake.output("folder/"), "output": to("last.csv"), "depends_on": ["first"]},
    )
    assert reasons(root)["job.second"] == ["never run", "upstream reruns"]  # there is no object yet
    apply(reconciler)
    assert (len(csv_rows((root / "out/last.csv").read_text())), is_up_to_date(reconciler)) == (len(WINES), True)
    lake.change("raw.csv", other(WINES))
    assert reasons(root)["job.second"] == ["upstream reruns"]
    apply(reconciler)
    assert is_up_to_date(reconciler)
    lake.cloud.remove("folder/a.csv")
    assert sorted(reasons(root)) == ["job.first", "job.second"]


@pytest.fixture(params=["s3", "azure", "gcp"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Objects:
    made = SYSTEMS[request.param](request, f"house-{next(NUMBERS)}")
    assert isinstance(made, Objects)
    tell(made, monkeypatch)
    return made


def test_output_elsewhere_is_looked_at_again(cloud: Objects, root: Path, write: Write, reconciler: Reconciler) -> None:
    write(cloud.openers, a={"intake": local(root, "a.csv", WINES), "output": cloud.output("a.csv")})
    apply(reconciler)
    assert is_up_to_date(reconciler)  # decided anew, and remembered
    assert is_up_to_date(reconciler)
    url, written = cloud.cloud.url("a.csv"), cloud.cloud.get("a.csv")
    cloud.cloud.remove("a.csv")
    assert reasons(root) == {"job.a": [f"output missing: {url}"]}
    apply(reconciler)
    assert (cloud.cloud.get("a.csv"), is_up_to_date(reconciler)) == (written, True)
    cloud.cloud.put("a.csv", b"no scores")
    assert reasons(root) == {"job.a": [f"output altered: {url}"]}
    apply(reconciler)
    assert (cloud.cloud.get("a.csv"), is_up_to_date(reconciler)) == (written, True)


def test_folder_of_partitions_is_looked_at_again_without_what_others_put_beside_them(
    cloud: Objects, root: Path, write: Write, reconciler: Reconciler
) -> None:
    output = {**cloud.output("scores/"), "format": "parquet", "partition_columns": ["bottle_id"]}
    write(cloud.openers, a={"intake": local(root, "a.csv", WINES[:3]), "output": output})
    apply(reconciler)
    assert is_up_to_date(reconciler)
    parts = cloud.cloud.listed()
    cloud.cloud.put("scores/mine.parquet", b"another's")
    assert is_up_to_date(reconciler)
    cloud.cloud.remove(parts[0])
    assert reasons(root) == {"job.a": [f"output altered: {cloud.cloud.url('scores/')}"]}
    apply(reconciler)
    assert (len(cloud.cloud.listed()), is_up_to_date(reconciler)) == (len(parts) + 1, True)
    for part in cloud.cloud.listed():
        cloud.cloud.remove(part)
    assert reasons(root) == {"job.a": [f"output missing: {cloud.cloud.url('scores/')}"]}


def test_output_that_cannot_be_looked_at_is_taken_to_be_as_it_was(
    lake: Objects, root: Path, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lake.openers, a={"intake": local(root, "a.csv", WINES), "output": lake.output("a.csv")})
    apply(reconciler)
    lake.cloud.remove("a.csv")
    with monkeypatch.context() as without:
        without.delenv("SYSTEM_awsSecretAccessKey")
        assert is_up_to_date(reconciler)  # and remembered
    with monkeypatch.context() as wrong:
        wrong.setenv("SYSTEM_awsSecretAccessKey", "another")
        assert is_up_to_date(reconciler)
    assert [why.split(":")[0] for why in reasons(root)["job.a"]] == ["output missing"]


def test_output_that_was_not_looked_at_when_it_was_delivered_is_not_looked_at_later(
    lake: Objects, root: Path, write: Write, reconciler: Reconciler
) -> None:
    write(lake.openers, a={"intake": local(root, "a.csv", WINES), "output": lake.output("a.csv")})
    apply(reconciler)
    with closing(sqlite3.connect(root / "state/reconciler.db", isolation_level=None)) as db:
        db.execute("UPDATE runs SET output_digest = NULL")
    lake.cloud.remove("a.csv")
    assert is_up_to_date(reconciler)


def test_job_whose_upstream_writes_the_same_rows_again_is_left_as_it_is(lake: Objects, root: Path, write: Write, reconciler: Reconciler) -> None:
    """The second job's own output is an object too, and still there."""
    write(
        lake.openers,
        first={"intake": local(root, "a.csv", WINES), "output": to("first.csv"), "passthrough_columns": None, "passthrough_columns_set": "all"},
        second={"intake": {**LOCAL, "file": "${job.first.output}"}, "output": lake.output("second.csv")},
    )
    apply(reconciler)
    (root / "out/first.csv").unlink()
    assert sorted(reasons(root)) == ["job.first", "job.second"]
    assert "1 scored, 0 failed, 1 unchanged" in apply(reconciler)
    assert is_up_to_date(reconciler)


def test_dataset_is_a_local_file(root: Path, write: Write, reconciler: Reconciler) -> None:
    (root / "data/wines.csv").write_text(csv_text(WINES))
    openers = {"datasets": {"wines": {"local": "data/wines.csv"}}}
    write(openers, a={"intake": {"type": "dataset", "dataset": "wines"}, "output": {"type": "fileSystem", "path": "out/a.csv"}})
    apply(reconciler)
    assert len(csv_rows((root / "out/a.csv").read_text())) == len(WINES)
    assert is_up_to_date(reconciler)
    (root / "data/wines.csv").write_text(csv_text(other(WINES)))
    assert reasons(root) == {"job.a": ["intake changed: data/wines.csv"]}


def test_missing_object_is_told_where_the_spec_names_the_job(lake: Objects, write: Write, reconciler: Reconciler) -> None:
    intake = lake.make("in.csv", WINES)["intake"]
    write(lake.openers, a={"intake": {**intake, "url": lake.cloud.url("nowhere.csv")}, "output": to("a.csv")})
    said = reconciler("plan", "-no-color")
    assert (said.code, said.out, said.err.count("\nError: ")) == (1, "", 1)
    assert "nowhere.csv" in said.err
    assert "on specs/jobs.yaml line" in said.err


def test_wrong_credential_is_told_without_a_word_of_it(
    lake: Objects, root: Path, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lake.openers, a={**lake.make("in.csv", WINES), "output": to("a.csv")})
    monkeypatch.setenv("SYSTEM_awsSecretAccessKey", "s3cr3t-that-is-another")
    said = reconciler("plan", "-no-color")
    assert (said.code, said.out, said.err.count("\nError: ")) == (1, "", 1)
    assert "s3cr3t-that-is-another" not in said.err
    assert b"s3cr3t-that-is-another" not in kept(root)


def test_missing_variable_is_named_with_credential_and_workspace(
    lake: Objects, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lake.openers, a={**lake.make("in.csv", WINES), "output": to("a.csv")})
    monkeypatch.delenv("SYSTEM_awsAccessKeyId")
    said = reconciler("plan", "-no-color")
    assert said.code == 1
    assert 'The credential "lake" cannot be used' in said.err
    assert "The environment has no SYSTEM_awsAccessKeyId" in " ".join(said.err.split())


def test_variable_that_an_output_lacks_is_told_before_anything_is_scored(
    lake: Objects, root: Path, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = local(root, "a.csv", WINES)
    write(lake.openers, a={"intake": rows, "output": lake.output("out.csv")}, b={"intake": rows, "output": to("b.csv")})
    monkeypatch.delenv("SYSTEM_awsAccessKeyId")
    said = reconciler("apply", "-auto-approve", "-no-color")
    assert said.code == 1
    words = " ".join((said.out + said.err).split())
    assert 'The credential "lake" cannot be used with job.a' in words
    assert "The environment has no SYSTEM_awsAccessKeyId" in words
    assert not (root / "out/b.csv").exists()
    monkeypatch.setenv("SYSTEM_awsAccessKeyId", lake.secrets["SYSTEM_awsAccessKeyId"])
    apply(reconciler)
    assert len(lake.read("out.csv")) == len(WINES)


def test_problems_of_intakes_and_outputs_are_told_at_once(
    lake: Objects, root: Path, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    openers = {"credentials": {"lake": lake.openers["credentials"]["lake"], "sea": {"local": {"type": "s3", **SEA}}}}
    intake = lake.make("in.csv", WINES)["intake"]
    nowhere, sea = {**intake, "url": lake.cloud.url("nowhere.csv")}, {**lake.output("b.csv"), "credential": "sea"}
    write(
        openers,
        a={"intake": nowhere, "output": {**lake.output("a.csv"), "credential": "sea"}},
        b={"intake": local(root, "b.csv", WINES), "output": sea},
        c={"intake": {**intake, "credential": "sea"}, "output": {**lake.output("c.csv"), "credential": "sea"}},
    )
    said = reconciler("plan", "-no-color")
    assert (said.code, said.out) == (1, "")
    told = [line.removeprefix("Error: ") for line in said.err.splitlines() if line.startswith("Error: ")]
    gone, locked = "The object does not exist", 'The credential "sea" cannot be used'
    assert sorted(told) == [locked, locked, locked, gone]  # the one of c, which has it on both sides, is told once
    assert "job.c" in said.err


def test_another_name_for_a_credential_reruns_nothing_and_another_account_does(
    lake: Objects, root: Path, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = {"a": {**lake.make("in.csv", WINES), "output": lake.output("out.csv")}}
    write(lake.openers, **jobs)
    apply(reconciler)
    text = (root / "specs/jobs.yaml").read_text()
    (root / "specs/jobs.yaml").write_text(text.replace('"lake"', '"sea"'))
    assert is_up_to_date(reconciler)
    assert is_up_to_date(reconciler)
    monkeypatch.setenv("ANOTHER", lake.secrets["SYSTEM_awsAccessKeyId"])
    (root / "specs/jobs.yaml").write_text(text.replace("${env.SYSTEM_awsAccessKeyId}", "${env.ANOTHER}"))
    assert reasons(root) == {"job.a": ["spec changed: credentials.lake.aws_access_key_id"]}


def test_secret_may_lie_in_a_file_of_the_project(lake: Objects, root: Path, write: Write, reconciler: Reconciler) -> None:
    (root / "keys").mkdir()
    (root / "keys/secret").write_text(lake.secrets["SYSTEM_awsSecretAccessKey"] + "\n")
    fields = {**lake.openers["credentials"]["lake"]["local"], "awsSecretAccessKey": {"file": "keys/secret"}}
    write({"credentials": {"lake": {"local": fields}}}, a={**lake.make("in.csv", WINES), "output": lake.output("out.csv")})
    apply(reconciler)
    assert len(lake.read("out.csv")) == len(WINES)
    assert lake.secrets["SYSTEM_awsSecretAccessKey"].encode() not in kept(root)


def test_intake_version_decides_instead_of_looking(lake: Objects, root: Path, write: Write, reconciler: Reconciler) -> None:
    intake = lake.make("in.csv", WINES)["intake"]
    write(lake.openers, a={"intake": intake, "output": to("a.csv"), "intake_version": "1"})
    apply(reconciler)
    lake.change("in.csv", other(WINES))
    assert is_up_to_date(reconciler)
    write(lake.openers, a={"intake": intake, "output": to("a.csv"), "intake_version": "2"})
    ((_, (why,)),) = reasons(root).items()
    assert why.startswith("intake changed: s3 ")
    write(lake.openers, a={"intake": intake, "output": to("a.csv")})
    assert reasons(root) == {"job.a": [f"intake looked at otherwise: s3 {lake.cloud.url('in.csv')}"]}


def test_another_probe_is_no_other_content(
    request: pytest.FixtureRequest, root: Path, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be compared with what the one before has told, so the job is rerun, and the reason is true."""
    crm = SYSTEMS["postgresql"](request, f"house-{next(NUMBERS)}")
    tell(crm, monkeypatch)
    job = {**crm.make("wines.csv", WINES), "output": to("a.csv")}
    told = []
    for probe in (None, job["probe"], "SELECT 1", "SELECT 1"):
        write(crm.openers, a={key: value for key, value in {**job, "probe": probe}.items() if value is not None})
        told.append([why.split(":")[0] for why in reasons(root).get("job.a", [])])
        apply(reconciler)
    assert told == [["never run"], ["intake looked at otherwise"], ["intake looked at otherwise"], []]


def test_endpoint_s_place_is_looked_at_with_what_the_workspace_is_given(
    lake: Objects, root: Path, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("DATAROBOT_")]:
        monkeypatch.delenv(name)
    fields = lake.openers["credentials"]["lake"]["local"]
    openers = {
        "workspaces": {"prod": {"endpoint": "datarobot"}},
        "credentials": {"lake": {"prod": {"id": "6166c01ee91fb6641ecd28bd", **fields}}},
    }
    write(openers, a={**lake.make("in.csv", WINES), "output": {**lake.output("out.csv")}})
    text = (root / "specs/jobs.yaml").read_text().replace('"deployment": "wine"', '"model_package_id": "616d01a8ddbd17fc2c75caf4"')
    (root / "specs/jobs.yaml").write_text(text)
    made = make_plan(Project(root, root / "state/reconciler.db", "prod"))
    (change,) = made.changes
    assert made.notes == ()
    assert change.after is not None and change.after.fingerprint.intake is not None
    lake.change("in.csv", other(WINES))
    (again,) = make_plan(Project(root, root / "state/reconciler.db", "prod")).changes
    assert again.after is not None and again.after.fingerprint.intake not in (None, change.after.fingerprint.intake)


def test_endpoint_s_public_bucket_is_looked_at_by_anybody(azurite: Azurite, root: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DATAROBOT_")]:
        monkeypatch.delenv(name)
    bucket = f"house-{next(NUMBERS)}"
    store = azurite.bucket(bucket, is_public=True)
    store.put("in.csv", csv_text(WINES).encode())
    write(
        {"workspaces": {"prod": {"endpoint": "datarobot"}}},
        a={"intake": {"type": "azure", "url": f"{azurite.url}/{bucket}/in.csv"}, "output": to("a.csv")},
    )
    text = (root / "specs/jobs.yaml").read_text().replace('"deployment": "wine"', '"model_package_id": "616d01a8ddbd17fc2c75caf4"')
    (root / "specs/jobs.yaml").write_text(text)
    made = make_plan(Project(root, root / "state/reconciler.db", "prod"))
    (change,) = made.changes
    assert made.notes == ()
    assert change.after is not None and change.after.fingerprint.intake is not None
    store.put("in.csv", csv_text(other(WINES)).encode())
    (again,) = make_plan(Project(root, root / "state/reconciler.db", "prod")).changes
    assert again.after is not None and again.after.fingerprint.intake not in (None, change.after.fingerprint.intake)


@pytest.mark.parametrize(("on_unknown", "after"), [("keep", {}), ("rerun", {"job.a": ["intake unknown: jdbc "]})])
def test_table_that_nothing_is_known_of_is_kept_or_rerun_and_told(
    request: pytest.FixtureRequest,
    root: Path,
    write: Write,
    reconciler: Reconciler,
    monkeypatch: pytest.MonkeyPatch,
    on_unknown: str,
    after: dict[str, list[str]],
) -> None:
    crm = SYSTEMS["postgresql"](request, f"house-{next(NUMBERS)}")
    tell(crm, monkeypatch)
    table = crm.make("wines.csv", WINES)
    del table["probe"]
    write(crm.openers, a={**table, "output": to("a.csv"), "on_unknown": on_unknown})
    apply(reconciler)
    crm.change("wines.csv", other(WINES))
    assert {address: [why[: len("intake unknown: jdbc ")] for why in told] for address, told in reasons(root).items()} == after
    said = " ".join(reconciler("plan", "-no-color").out.split())
    assert "Warning: An intake cannot be looked at" in said
    assert "a probe" in said


def test_probe_that_fails_is_told_where_the_spec_names_the_job(
    request: pytest.FixtureRequest, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = SYSTEMS["postgresql"](request, f"house-{next(NUMBERS)}")
    tell(crm, monkeypatch)
    write(crm.openers, a={**crm.make("wines.csv", WINES), "output": to("a.csv"), "probe": "SELECT max(vintage) FROM nowhere"})
    said = reconciler("plan", "-no-color")
    assert (said.code, said.out, said.err.count("\nError: ")) == (1, "", 1)
    assert "nowhere" in said.err
    assert "on specs/jobs.yaml line" in said.err


def test_times_in_a_query_and_its_probe_are_filled_in_when_they_are_looked_at(
    request: pytest.FixtureRequest, root: Path, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = SYSTEMS["postgresql"](request, f"house-{next(NUMBERS)}")
    tell(crm, monkeypatch)
    intake = crm.make("wines.csv", WINES)["intake"]
    rows = f'FROM "{intake["schema"]}".wines WHERE now() > '
    intake = {key: value for key, value in intake.items() if key not in ("table", "schema")}
    intake |= {"query": f"SELECT * {rows} CAST({{{{ last_completed_run_time }}}} AS timestamp)"}
    write(crm.openers, a={"intake": intake, "output": to("a.csv"), "probe": f"SELECT count(*) {rows} '{{{{ last_completed_run_time }}}}'"})
    apply(reconciler)
    assert len(csv_rows((root / "out/a.csv").read_text())) == len(WINES)
    assert is_up_to_date(reconciler)


def test_record_names_the_table_that_was_written(
    request: pytest.FixtureRequest, root: Path, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = SYSTEMS["postgresql"](request, f"house-{next(NUMBERS)}")
    assert isinstance(crm, Tables)
    tell(crm, monkeypatch)
    output = {**crm.output("scores"), "table": "scores_{{ current_run_time }}"}
    write(crm.openers, a={"intake": local(root, "a.csv", WINES), "output": output})
    apply(reconciler)
    place = json.loads(reconciler("state", "show", "job.a", "-json").out)["output"]
    assert "{{" not in place
    assert len(crm.read(place.removeprefix(f"jdbc:{output['schema']}."))) == len(WINES)
    assert is_up_to_date(reconciler)


def test_killed_after_a_step_every_row_is_in_the_table_once(
    request: pytest.FixtureRequest, root: Path, write: Write, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = SYSTEMS["postgresql"](request, f"house-{next(NUMBERS)}")
    tell(crm, monkeypatch)
    source = crm.make("wines.csv", WINES)
    for step in itertools.count(1, STRIDE):
        name = f"scores_{step}.csv"
        output = {key: value for key, value in crm.output(name).items() if key not in ("update_columns", "where_columns")}
        write(crm.openers, a={**source, "output": {**output, "statement_type": "insert"}})
        died = run_child(str(DYING), str(step), cwd=root).code != 0
        apply(reconciler)
        assert sorted(row["bottle_id"] for row in crm.read(name)) == sorted(row["bottle_id"] for row in WINES), f"killed at step {step}"
        assert is_up_to_date(reconciler)
        shutil.rmtree(root / "state")
        if not died:
            break
    assert step > 7  # intended, POST sent, answered, submitted, polls, scored, delivered
