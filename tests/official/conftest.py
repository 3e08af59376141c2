"""What the official client's examples for other systems share: `reconciler serve` with its models, the rows, and what they are scored as.

Credentials and data stores are made through the API, and the scored rows are compared with what the model's own library says.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import datarobot as dr
import pytest
from served import Served, check_scored, predictions, serving, table


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(autouse=True)
def client(served: Served) -> Any:
    return dr.Client(endpoint=served.endpoint, token=served.token)


@pytest.fixture
def wine(served: Served) -> str:
    return served.deployments["wine"]


@pytest.fixture
def bottles(served: Served) -> bytes:
    return served.data("wine").encode()


@pytest.fixture
def is_wine(served: Served, bottles: bytes) -> Callable[..., None]:
    """Compares a whole result, by column, with what onnxruntime says of the wines; and the columns that it was to keep."""
    given = table(bottles.decode())
    expected = predictions(served.root, "wine", given)

    def check(scored: Mapping[str, list[str]], *kept: str) -> None:
        check_scored(scored, expected, {name: given[name] for name in kept})

    return check
