"""The map of the house: imports run downward only. The line that climbs is named."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "reconciler"

# Each room, and the rooms below it that it may import. The ground floor is open to all; a room may always import itself.
GROUND = {
    "collector",
    "confidential",
    "credential",
    "diagnostic",
    "digests",
    "disk",
    "duration",
    "errors",
    "fingerprint",
    "identity",
    "options",
    "project",
    "settings",
    "templates",
    "version",
}
GROUND_ORDER = {("errors", "diagnostic"), ("digests", "fingerprint"), ("settings", "options"), ("credential", "options")}
ROOMS: dict[str, set[str]] = {
    "engine": set(),
    "spec": set(),
    "state": set(),
    "api": set(),
    "service": {"api.schema", "engine"},
    "plan": {"state"},
    "vault": set(),
    "embedded": {"api", "engine.connectors.rooms", "engine.job", "engine.place", "service"},
    "scorer": {"api", "embedded", "vault"},
    "settling": {"api", "apply", "scorer", "state", "vault", "wanted"},
    "serving": {"embedded", "service"},
    "wanted": {"plan", "spec", "state", "embedded", "engine.capability", "engine.metadata"},
    "refresh": {"plan", "state"},
    "answers": {"api", "plan", "scorer"},
    "looking": {"engine.connectors.rooms", "engine.look", "engine.packages", "engine.place", "plan", "vault"},
    "proof": {"plan", "refresh", "state"},
    "planning": {"answers", "looking", "plan", "proof", "refresh", "state", "vault", "wanted"},
    "apply": {"api", "plan", "state"},
    "sight": {"answers", "api", "apply", "looking", "plan", "refresh", "state", "vault"},
    "reconcile": {"api", "apply", "embedded", "plan", "scorer", "sight", "state", "vault"},
    "view": {"apply.event", "plan", "state"},
    "cli": {"apply.event", "apply.flight", "plan", "planning", "reconcile", "serving", "settling", "spec", "state", "view", "wanted"},
    "__main__": {"cli"},
}
# Each of these libraries is met in the rooms named and nowhere else.
LIBRARIES: dict[str, set[str]] = {
    "adbc_driver_manager": {"engine"},
    "adbc_driver_postgresql": {"engine"},
    "botocore": {"engine"},
    "catboost": {"engine"},
    "click": {"cli"},
    "cryptography": {"engine", "service"},
    "deepdiff": {"plan"},
    "google": {"engine"},
    "grpc": {"engine"},
    "httpx": {"api", "engine"},
    "joblib": {"engine"},
    "lightgbm": {"engine"},
    "mlflow": {"engine"},
    "mssql_python": {"engine"},
    "numpy": {"engine"},
    "onnx": {"engine"},
    "obstore": {"engine"},
    "onnxruntime": {"engine"},
    "pandas": {"engine"},
    "psycopg": {"engine"},
    "pyarrow": {"engine"},
    "pydantic": {"credential", "options", "settings", "api", "service", "spec"},
    "rich": {"cli"},
    "skops": {"engine"},
    "snowflake": {"engine"},
    "sklearn": {"engine"},
    "sqlite_utils": {"state", "service"},
    "starlette": {"service"},
    "threadpoolctl": {"engine"},
    "uvicorn": {"service", "serving"},
    "xgboost": {"engine"},
    "yaml": {"api", "engine", "service", "spec"},
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module imported anywhere in the file, inside functions too, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide the floor"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def may(importer: str, imported: str) -> bool:
    room, target = importer.split(".")[0], imported.split(".")[0]
    if target in GROUND:
        return room not in GROUND or (room, target) in GROUND_ORDER
    return room == target or any(imported == allowed or imported.startswith(allowed + ".") for allowed in ROOMS.get(room, set()))


every_module = pytest.mark.parametrize(("name", "path"), [pytest.param(name, path, id=name or "reconciler") for name, path in modules()])


@every_module
def test_imports_run_downward(name: str, path: Path) -> None:
    climbing = [
        f"{path.relative_to(ROOT.parent)}:{line} imports {imported}"
        for line, imported in imports(path)
        if imported.startswith("reconciler.") and not may(name, imported.removeprefix("reconciler."))
    ]
    assert not climbing


@every_module
def test_each_library_is_met_in_its_own_rooms(name: str, path: Path) -> None:
    strangers = [
        f"{path.relative_to(ROOT.parent)}:{line} imports {imported}"
        for line, imported in imports(path)
        if (library := imported.split(".")[0]) in LIBRARIES and name.split(".")[0] not in LIBRARIES[library]
    ]
    assert not strangers


def test_every_room_is_on_the_map() -> None:
    rooms = {name.split(".")[0] for name, _ in modules()} - {""}
    assert rooms == ROOMS.keys() | GROUND


@every_module
def test_every_module_says_what_it_is_for(name: str, path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not source or ast.get_docstring(ast.parse(source)), f"{path} opens without a docstring"
