"""Digests: equal meaning gives equal digests, any other change gives another one."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from reconciler.spec.instance import Instance, address_of
from reconciler.spec.loader import load

DEFAULTS = {"abort_on_error": True, "chunk_size": "auto", "csv_settings": {"delimiter": ","}, "pinned_model_id": None, "include_probabilities": True}
JOB = {
    "deployment": "churn",
    "intake_settings": {"type": "localFile", "file": "in.csv"},
    "output_settings": {"type": "localFile", "path": "out/scored.csv"},
    "passthrough_columns": ["id", "name"],
    "column_names_remapping": {"churn_1": "score", "churn_0": None},
    "max_explanations": 3,
    "threshold_high": 1,
    "num_concurrent": 4,
}


def one(root: Path, job: dict[str, Any], dump: Callable[[Any], str] = json.dumps) -> Instance:
    (root / "specs").mkdir(exist_ok=True)
    (root / "specs" / "a.yaml").write_text(dump({"deployments": {"churn": {"local": "models/churn"}, "other": {"local": "m"}}, "jobs": {"a": job}}))
    (instance,) = load(root).instances
    return instance


def shuffled(value: Any, order: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    keys = list(value)
    order.shuffle(keys)
    return {key: shuffled(value[key], order) for key in keys}


def block(value: Any) -> str:
    return "# a comment\n" + yaml.safe_dump(value, sort_keys=False).replace("\n", "   # c\n", 1)


def quoted(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, default_style=None, default_flow_style=True, width=20))


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.randoms(use_true_random=False),
    defaults=st.sets(st.sampled_from(sorted(DEFAULTS))),
    dump=st.sampled_from([json.dumps, block, quoted]),
    high=st.sampled_from([1, 1.0]),
    is_camel=st.booleans(),
    path=st.sampled_from(["out/scored.csv", "./out/scored.csv", "out//x/../scored.csv", "ABSOLUTE"]),
    deployment=st.sampled_from(["churn", "./models/churn/"]),
)
def test_a_spelling_never_changes_the_digest(
    tmp_path: Path, order: random.Random, defaults: set[str], dump: Any, high: float, is_camel: bool, path: str, deployment: str
) -> None:
    written = path.replace("ABSOLUTE", str(tmp_path / "out" / "scored.csv"))
    job: dict[str, Any] = {**JOB, **{key: DEFAULTS[key] for key in defaults}, "threshold_high": high}
    job["output_settings"] = {"type": "localFile", "path": written}
    if deployment != "churn":
        del job["deployment"]
        job["deployment_id"] = "models/churn"
    if is_camel:
        job = {to_camel(key): value for key, value in job.items()}

    assert one(tmp_path, shuffled(job, order), dump).digest == one(tmp_path, JOB).digest


CHANGES: dict[str, dict[str, Any]] = {
    "another deployment": {"deployment": "other"},
    "another output": {"output_settings": {"type": "localFile", "path": "out/scored2.csv"}},
    "another kind of output": {"output_settings": {"type": "http", "url": "https://x/y"}},
    "another kind of intake": {"intake_settings": {"type": "http", "url": "https://x/y"}},
    "another number of explanations": {"max_explanations": 4},
    "another threshold": {"threshold_high": 1.5},
    "another order of columns": {"passthrough_columns": ["name", "id"]},
    "one column less": {"passthrough_columns": ["id"]},
    "a column renamed": {"column_names_remapping": {"churn_1": "points", "churn_0": None}},
    "a column kept": {"column_names_remapping": {"churn_1": "score"}},
    "a delimiter": {"csv_settings": {"delimiter": ";"}},
    "no probabilities": {"include_probabilities": False},
    "a pinned model": {"pinned_model_id": "x"},
    "no abort": {"abort_on_error": False},
}
SAME: dict[str, dict[str, Any]] = {
    "more requests at once": {"num_concurrent": 8},
    "another chunk size": {"chunk_size": 1000},
    "a description": {"description": "For the board"},
    "tags": {"tags": {"team": "risk"}},
    "another file": {"intake_settings": {"type": "localFile", "file": "other.csv"}},
    "another way to upload": {"intake_settings": {"type": "localFile", "file": "in.csv", "async": False, "multipart": True}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_of_meaning_changes_the_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    assert one(tmp_path, {**JOB, **change}).digest != one(tmp_path, JOB).digest


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_what_cannot_change_a_prediction_changes_no_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    assert one(tmp_path, {**JOB, **change}).digest == one(tmp_path, JOB).digest


def test_a_digest_is_the_same_in_every_release(tmp_path: Path) -> None:
    digest = one(tmp_path, JOB).digest

    assert digest == "blake3:5ce4075db95a96b52a8b6649700ef265f8e496ff0444fbc8ee708ac387581475", (
        "a new digest makes every job of every user run again: raise DIGEST_VERSION only with a migration"
    )


def test_a_spec_is_canonical(tmp_path: Path) -> None:
    instance = one(tmp_path, {**JOB, **DEFAULTS, "description": "For the board", "tags": ["risk"]})

    assert instance.spec == {
        "deployment": "models/churn",
        "intake": {"type": "localFile", "file": "in.csv"},
        "output": {"type": "localFile", "path": "out/scored.csv"},
        "options": {
            "passthroughColumns": ["id", "name"],
            "columnNamesRemapping": {"churn_1": "score", "churn_0": None},
            "maxExplanations": 3,
            "thresholdHigh": 1.0,
            "numConcurrent": 4,
        },
    }
    assert instance.metadata == {"description": "For the board", "tags": ["risk"]}


@pytest.mark.parametrize(
    ("key", "address"),
    [
        (None, "job.churn"),
        ("2026-10", 'job.churn["2026-10"]'),
        ('a"b\\c', 'job.churn["a\\"b\\\\c"]'),
        ("a\nb", 'job.churn["a\\nb"]'),
        ("ü", 'job.churn["ü"]'),
        ("", 'job.churn[""]'),
    ],
)
def test_an_address_is_as_in_terraform(key: str | None, address: str) -> None:
    assert address_of("churn", key) == address
