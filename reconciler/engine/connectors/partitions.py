"""A folder of Parquet files, one for each value of some columns, as Hive lays it out. The rule here: all is there before anything is shown.

    <url>/month=2026-10/country=DE/reconciler.parquet

The columns are in the names of the folders and not in the files; a value that is missing or empty is `__HIVE_DEFAULT_PARTITION__`. Rows wait on
the disk of this machine (TMPDIR) until the last one is scored. Then the files are made, and the largest sent but for their last parts; then what
is left follows, and each file is shown as a whole; then the files of that name that an earlier run left under the url are removed. Nothing else
ever is. Rows that a killed process has left on the disk go when the job is scored again or deleted.

So a job that is killed before that last step leaves everything as it was. One that is killed in the middle of it leaves files of which each is
whole, some new and some old: an object store shows one object at a time. Scored again, the job writes the same names, and the folder is right.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from reconciler.engine.connectors.store import PART, Store
from reconciler.engine.parquet import ParquetOutput
from reconciler.engine.sink import FileSink, Sink
from reconciler.engine.spill import remove_spills, spill
from reconciler.engine.text import texts
from reconciler.errors import Cancelled, ScoringError

NAME = "reconciler.parquet"
_NOTHING = "__HIVE_DEFAULT_PARTITION__"
# What Hive writes as %XX; other characters stand as they are, and every reader of its layout knows both.
_ESCAPED = {code: f"%{code:02X}" for code in [*range(0x20), *map(ord, "\"#%'*/:=?\\{[]^"), 0x7F]}

# Rows that are held before they go to the disk, and files that are sent at once.
_HELD_BYTES = 32 << 20
_AT_ONCE = 4
_BEGUN = 16  # uploads that wait for their last part: each holds some MB


class Partitions:
    """Raises ScoringError, at once for columns that the output has not."""

    def __init__(self, store: Store, prefix: str, columns: Sequence[str], schema: pa.Schema, is_halted: Callable[[], bool], job: str) -> None:
        _check_columns(store.url(prefix), columns, schema)
        self._store = store
        self._prefix = prefix
        self._columns = columns
        self._is_halted = is_halted
        self._schema = pa.schema([field for field in schema if field.name not in columns])
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._files: dict[str, Path] = {}  # by folder
        self._sinks: list[Sink] = []
        self.bytes_written = 0
        with self._on_disk():
            remove_spills(job)
            self._disk = spill(job)

    def __enter__(self) -> "Partitions":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            for sink in self._sinks:
                sink.close()
        finally:
            shutil.rmtree(self._disk, ignore_errors=True)

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        if self._held_bytes >= _HELD_BYTES:
            self._spill()

    def finish(self) -> None:
        self._spill()
        made = {f"{self._prefix}{folder}{NAME}": self._made(spilled) for folder, spilled in sorted(self._files.items())}
        largest = sorted(made, key=lambda key: -made[key].stat().st_size)[:_BEGUN]
        rests = [self._begun(key, path) if key in largest else partial(self._sent, key, path, None, 0) for key, path in made.items()]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="send") as pool:
            for sent in pool.map(lambda rest: rest(), rests):
                self.bytes_written += sent
        self._store.remove([found.key for found in self._store.list(self._prefix) if self._is_ours(found.key) and found.key not in made])

    def _spill(self) -> None:
        """One stream of Arrow's after another in a file for each folder: no file stays open, however many there are.

        All that is held is split at once: a few rows of many columns take more memory as a batch of their own than their values do.
        """
        if not self._held:
            return
        with self._on_disk():
            for whole in pa.Table.from_batches(self._held).combine_chunks().to_batches():
                for folder, rows in split(whole, self._columns, self._schema):
                    path = self._files.setdefault(folder, self._disk / f"{len(self._files)}.arrow")
                    with open(path, "ab") as file, pa.ipc.new_stream(file, self._schema) as stream:
                        stream.write_batch(rows)
        self._held, self._held_bytes = [], 0

    def _made(self, spilled: Path) -> Path:
        self._heed()
        path = spilled.with_suffix(".parquet")
        with self._on_disk():
            with ParquetOutput(FileSink(path), self._schema) as output:
                for batch in _batches(spilled):
                    output.write(batch)
                output.finish()
            spilled.unlink()
        return path

    def _begun(self, key: str, path: Path) -> Callable[[], int]:
        """What is left to do for the object to be shown; it gives the bytes of all of it."""
        size = path.stat().st_size
        if size <= PART:
            return partial(self._sent, key, path, None, 0)
        sink = self._sink(key)
        early = (size - 1) // PART * PART
        with open(path, "rb") as file:
            for _ in range(0, early, PART):
                self._heed()
                sink.write(file.read(PART))
        return partial(self._sent, key, path, sink, early)

    def _sent(self, key: str, path: Path, begun: Sink | None, early: int) -> int:
        sink = begun or self._sink(key)
        with open(path, "rb") as file:
            file.seek(early)
            while part := file.read(PART):
                sink.write(part)
        sink.finish()
        return path.stat().st_size

    def _heed(self) -> None:
        """An abort is heard until the first file is shown."""
        if self._is_halted():
            raise Cancelled("The job was aborted")

    def _sink(self, key: str) -> Sink:
        sink = self._store.sink(key)
        self._sinks.append(sink)
        return sink

    def _is_ours(self, key: str) -> bool:
        *folders, name = key.removeprefix(self._prefix).split("/")
        return name == NAME and bool(folders) and all("=" in folder for folder in folders)

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            detail = f"{tempfile.gettempdir()}: {error.strerror or error}. It holds all rows of a partitioned output; make room, or set TMPDIR."
            raise ScoringError("The rows cannot be kept on the disk", detail) from error


def split(batch: pa.RecordBatch, columns: Sequence[str], schema: pa.Schema) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each folder, in their order, with the columns of the schema."""
    values = [texts(batch.column(name)).dictionary_encode() for name in columns]
    codes = np.zeros(batch.num_rows, np.int64)
    for encoded in values:
        codes = np.unique(codes, return_inverse=True)[1] * (len(encoded.dictionary) + 1)  # small again, so that nothing overflows
        codes += encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    rows = batch.select(schema.names).take(pa.array(order))
    starts = [0, *(np.flatnonzero(np.diff(codes[order])) + 1).tolist(), batch.num_rows]
    for start, stop in pairwise(starts):
        if start < stop:  # there are rows at all
            first = [encoded[int(order[start])].as_py() for encoded in values]
            folder = "".join(f"{_escaped(name)}={_escaped(value) or _NOTHING}/" for name, value in zip(columns, first, strict=True))
            yield folder, rows.slice(start, stop - start)


def _escaped(text: str | None) -> str:
    return (text or "").translate(_ESCAPED)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with open(path, "rb") as file:
        size = path.stat().st_size
        while file.tell() < size:
            yield from pa.ipc.open_stream(pa.PythonFile(file, "r"))


def _check_columns(url: str, columns: Sequence[str], schema: pa.Schema) -> None:
    if missing := [name for name in columns if name not in schema.names]:
        detail = f"{url}: partition_columns names {', '.join(missing)}, not in the intake; the output has {', '.join(schema.names)}. Correct it."
        raise ScoringError("The output lacks columns to be partitioned by", detail)
    if repeated := sorted({name for name in columns if list(columns).count(name) > 1}):
        raise ScoringError("A partition column is named twice", f"{url}: partition_columns names {', '.join(repeated)} more than once.")
    if set(columns) >= set(schema.names):
        raise ScoringError("The files would have no columns", f"{url}: partition_columns names every column of the output. Leave one out.")
