"""The AI Catalog: datasets and their versions. The rule here: a version's file is never changed, and its name on the disk is its id alone."""

import json
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.service import moment
from reconciler.service.database import Database
from reconciler.service.dataset_file import Arrival
from reconciler.service.refusal import Refusal, invalid

CATEGORIES = ("TRAINING", "PREDICTION", "BATCH_PREDICTIONS", "MULTI_SERIES_CALENDAR", "SAMPLE")
ORDERS = {"created": "versions.sequence", "-created": "versions.sequence DESC"}
_LONGEST_NAME = 255

_VERSION = """
SELECT versions.*, datasets.name AS name, datasets.categories AS categories, datasets.is_deleted AS is_deleted,
  versions.sequence = (SELECT max(sequence) FROM dataset_versions WHERE dataset_id = datasets.id) AS is_latest
FROM dataset_versions AS versions JOIN datasets ON datasets.id = versions.dataset_id
"""
_LATEST = "versions.sequence = (SELECT max(sequence) FROM dataset_versions WHERE dataset_id = datasets.id)"


@dataclass(frozen=True)
class Version:
    """One version, beside what it shares with the others of its dataset."""

    id: str
    dataset_id: str
    status_id: str
    name: str
    categories: tuple[str, ...]
    file_name: str
    created: str
    created_by: str
    size: int
    row_count: int
    error: str
    is_latest: bool
    is_deleted: bool


class Datasets:
    def __init__(self, database: Database, folder: Path, clock: moment.Clock) -> None:
        self._database = database
        self._folder = folder
        self._clock = clock

    def tidy(self) -> None:
        """Removes what a process that died had begun to receive."""
        with self._database.reading() as connection:
            known = {row["id"] for row in connection.execute("SELECT id FROM dataset_versions")}
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            if path.suffix != ".csv" or path.stem not in known:
                path.unlink()

    def arrival(self) -> tuple[str, Arrival]:
        """The id of a version to be, and where its bytes go."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        version_id = secrets.token_hex(12)
        return version_id, Arrival(self._path(version_id))

    def path(self, version: Version) -> Path:
        return self._path(version.id)

    def add(self, version_id: str, arrival: Arrival, name: str, categories: list[str], user: str) -> Version:
        """A new dataset with its first version. Raises Refusal for a category that there is not."""
        dataset_id = secrets.token_hex(12)
        checked = checked_categories(categories)
        arrival.keep()
        with self._database.writing() as connection:
            values = dataset_id, name[:_LONGEST_NAME] or "Untitled Dataset", json.dumps(checked)
            connection.execute("INSERT INTO datasets (id, name, categories) VALUES (?, ?, ?)", values)
            return self._insert(connection, version_id, dataset_id, arrival, name, user)

    def add_version(self, version_id: str, dataset_id: str, arrival: Arrival, file_name: str, categories: list[str], user: str) -> Version:
        """Raises Refusal when the dataset went away, or for a category that there is not."""
        checked = checked_categories(categories)
        self.latest(dataset_id)
        arrival.keep()
        with self._database.writing() as connection:
            if checked:
                connection.execute("UPDATE datasets SET categories = ? WHERE id = ?", (json.dumps(checked), dataset_id))
            return self._insert(connection, version_id, dataset_id, arrival, file_name, user)

    def latest(self, dataset_id: str) -> Version:
        """Raises Refusal: 404, and 410 for a deleted one."""
        with self._database.reading() as connection:
            row = connection.execute(f"{_VERSION} WHERE datasets.id = ? AND {_LATEST}", (dataset_id,)).fetchone()
        return _undeleted(row, f"there is no dataset {dataset_id}")

    def version(self, dataset_id: str, version_id: str) -> Version:
        with self._database.reading() as connection:
            row = connection.execute(f"{_VERSION} WHERE datasets.id = ? AND versions.id = ?", (dataset_id, version_id)).fetchone()
        return _undeleted(row, f"there is no version {version_id} of a dataset {dataset_id}")

    def with_status(self, status_id: str) -> Version:
        with self._database.reading() as connection:
            row = connection.execute(f"{_VERSION} WHERE versions.status_id = ?", (status_id,)).fetchone()
        if row is None:
            raise Refusal(404, f"there is no status {status_id}")
        return _from_row(row)

    def page(self, offset: int, limit: int, order: str, categories: list[str], without_failed: bool) -> tuple[int, list[Version]]:
        """The latest version of each dataset; with categories, of those that have one of them."""
        chosen = f"EXISTS (SELECT 1 FROM json_each(datasets.categories) WHERE value IN ({', '.join('?' * len(categories))}))" if categories else "1"
        where = f"NOT datasets.is_deleted AND {_LATEST} AND {chosen} AND (NOT ? OR versions.error = '')"
        return self._page(where, [*categories, without_failed], order, offset, limit)

    def versions(self, dataset_id: str, offset: int, limit: int, order: str) -> tuple[int, list[Version]]:
        self.latest(dataset_id)
        return self._page("datasets.id = ?", [dataset_id], order, offset, limit)

    def modify(self, dataset_id: str, name: str | None, categories: list[str] | None) -> Version:
        """As the API: categories that are not given are kept here, for the client sends them always."""
        self.latest(dataset_id)
        with self._database.writing() as connection:
            if name is not None:
                connection.execute("UPDATE datasets SET name = ? WHERE id = ?", (name, dataset_id))
            if categories is not None:
                connection.execute("UPDATE datasets SET categories = ? WHERE id = ?", (json.dumps(categories), dataset_id))
        return self.latest(dataset_id)

    def set_deleted(self, dataset_id: str, is_deleted: bool) -> None:
        """Soft: files and versions stay, for what runs now and for a change of mind. Raises Refusal 404 when there is no such dataset."""
        if is_deleted:
            self.latest(dataset_id)
        with self._database.writing() as connection:
            changed = connection.execute("UPDATE datasets SET is_deleted = ? WHERE id = ?", (is_deleted, dataset_id)).rowcount
            if not changed:
                raise Refusal(404, f"there is no dataset {dataset_id}")

    def _insert(self, connection: sqlite3.Connection, version_id: str, dataset_id: str, arrival: Arrival, file_name: str, user: str) -> Version:
        created = moment.rfc3339(self._clock())
        values = version_id, dataset_id, secrets.token_hex(12), file_name, created, user, arrival.size, arrival.row_count, arrival.error
        connection.execute(
            "INSERT INTO dataset_versions (id, dataset_id, status_id, file_name, created, created_by, size, row_count, error) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        return _from_row(connection.execute(f"{_VERSION} WHERE versions.id = ?", (version_id,)).fetchone())

    def _page(self, where: str, values: list[Any], order: str, offset: int, limit: int) -> tuple[int, list[Version]]:
        source = f"FROM dataset_versions AS versions JOIN datasets ON datasets.id = versions.dataset_id WHERE {where}"
        with self._database.reading() as connection:
            total = connection.execute(f"SELECT count(*) {source}", values).fetchone()[0]
            rows = connection.execute(f"{_VERSION} WHERE {where} ORDER BY {ORDERS[order]} LIMIT ? OFFSET ?", [*values, limit, offset])
            return total, [_from_row(row) for row in rows]

    def _path(self, version_id: str) -> Path:
        return self._folder / f"{version_id}.csv"


def checked_categories(categories: list[str]) -> list[str]:
    """Raises Refusal."""
    if unknown := [category for category in categories if category not in CATEGORIES]:
        raise invalid([(("categories",), f"{unknown[0]!r} is not one of: {', '.join(CATEGORIES)}")])
    return list(dict.fromkeys(categories))


def _undeleted(row: sqlite3.Row | None, missing: str) -> Version:
    if row is None:
        raise Refusal(404, missing)
    if row["is_deleted"]:
        raise Refusal(410, f"the dataset {row['dataset_id']} was deleted; PATCH datasets/{row['dataset_id']}/deleted/ brings it back")
    return _from_row(row)


def _from_row(row: sqlite3.Row) -> Version:
    return Version(
        id=row["id"],
        dataset_id=row["dataset_id"],
        status_id=row["status_id"],
        name=row["name"],
        categories=tuple(json.loads(row["categories"])),
        file_name=row["file_name"],
        created=row["created"],
        created_by=row["created_by"],
        size=row["size"],
        row_count=row["row_count"],
        error=row["error"],
        is_latest=bool(row["is_latest"]),
        is_deleted=bool(row["is_deleted"]),
    )
