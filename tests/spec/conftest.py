"""A project in a temporary folder, and what loading it gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.diagnostic import Diagnostic
from reconciler.errors import SpecInvalid
from reconciler.spec.loader import Configuration, load


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes one file of the configuration and returns the project's root."""

    def writer(content: str | bytes, file: str = "specs/jobs.yaml") -> Path:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return writer


@pytest.fixture
def loaded(write: Callable[..., Path]) -> Callable[..., Configuration]:
    def loader(content: str, **options: Any) -> Configuration:
        return load(write(content), **options)

    return loader


@pytest.fixture
def refused(write: Callable[..., Path]) -> Callable[..., tuple[Diagnostic, ...]]:
    def loader(content: str | bytes, **options: Any) -> tuple[Diagnostic, ...]:
        with pytest.raises(SpecInvalid) as caught:
            load(write(content), **options)
        return tuple(caught.value.diagnostics)

    return loader


@pytest.fixture
def job() -> Callable[..., str]:
    """The text of a sound job; `lines` are added to it, and each replacement is made in it."""

    def text(name: str = "a", *lines: str, replace: dict[str, str] | None = None) -> str:
        body = (
            f"  {name}:\n"
            "    deployment: churn\n"
            f"    intake_settings: {{type: localFile, file: data/{name}.csv}}\n"
            f"    output_settings: {{type: localFile, path: out/{name}.csv}}\n"
        )
        for old, new in (replace or {}).items():
            assert old in body
            body = body.replace(old, new)
        return body + "".join(f"    {line}\n" for line in lines)

    return text


HEAD = """\
variables:
  month: {default: "2026-10"}
  explanations: {default: 3}
  columns: {default: [id, name]}
workspaces:
  prod: {endpoint: "https://app.example.com/${env.SITE}/api/v2"}
deployments:
  churn: {local: ./models/churn/, prod: 616d01a8ddbd17fc2c75caf4}
  credit: {prod: 616d01a8ddbd17fc2c75caf5}
credentials:
  lake: {local: {type: s3, aws_access_key_id: "${env.ID}", aws_secret_access_key: "${env.KEY}"}, prod: 6166c01ee91fb6641ecd28bd}
data_stores:
  warehouse: {local: {jdbc_url: "jdbc:postgresql://localhost/crm"}, prod: 5f3c7a000000000000000001}
datasets:
  customers: {local: data/customers.csv, prod: 60aa00000000000000000001}
jobs:
"""


@pytest.fixture
def head() -> str:
    """Sections with a declaration of each kind; ends with `jobs:`."""
    return HEAD


DESIGN = """\
# yaml-language-server: $schema=./reconciler.schema.json
variables:
  month: {default: "2026-10"}
workspaces:
  local: {}                                        # the embedded service
  prod:  {endpoint: "https://app.datarobot.com/api/v2"}
deployments:
  churn:     {local: models/churn, prod: 616d01a8ddbd17fc2c75caf4}
credentials:
  lake:
    local: {type: s3, aws_access_key_id: "${env.AWS_ACCESS_KEY_ID}", aws_secret_access_key: "${env.AWS_SECRET_ACCESS_KEY}"}
    prod: 6166c01ee91fb6641ecd28bd
data_stores:
  warehouse: {local: {jdbc_url: "jdbc:postgresql://localhost:5432/crm"}, prod: 5f3c7a...}
datasets:
  customers: {local: data/customers.csv, prod: 60aa...}
jobs:
  churn:
    deployment: churn                # or deployment_id: an id, as in a script
    for_each: ["2026-09", "${var.month}"]
    intake_settings:  {type: s3, url: "s3://lake/${each.key}/to_predict.csv", credential: lake}
    output_settings:  {type: s3, url: "s3://lake/${each.key}/predicted.csv", credential: lake}
    passthrough_columns_set: all
    max_explanations: 3
    threshold_high: 0.5
    threshold_low: 0.15
"""


@pytest.fixture
def design() -> str:
    """The example of the design document."""
    return DESIGN
