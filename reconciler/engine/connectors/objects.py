"""Object stores as intake and output: what S3, Azure and Google have in common. The rule here: an object is read as it was found, or not at all.

A url that ends in `/` is every object under it whose name ends in the format's suffix, in the order of the keys; what begins with `_` or `.`,
or is in a folder that does, is no data (`_SUCCESS`, `_temporary/`, …). An output is shown when it is whole, and no object is ever half an output.
"""

import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO, cast

import pyarrow as pa

from reconciler.engine.connectors.partitions import Partitions
from reconciler.engine.connectors.patience import either, waited
from reconciler.engine.connectors.store import Located, Object, Store
from reconciler.engine.csv_intake import CsvIntake
from reconciler.engine.dialect import Dialect
from reconciler.engine.file import File
from reconciler.engine.intake import Intake
from reconciler.engine.joined import JoinedIntake
from reconciler.engine.parquet import MAGIC, ParquetIntake, is_parquet
from reconciler.engine.place import Place
from reconciler.engine.sink import Output, Sink
from reconciler.engine.spill import remove_spills
from reconciler.errors import Absent, ScoringError
from reconciler.fingerprint import value_digest
from reconciler.settings import OUTPUTS

# As many objects are looked at one by one; of more, only their number and a digest.
_SHOWN = 50
# Changes with the storage class of an object, to which a bucket's rules may move an output that grows old, and not with its bytes.
_ABOUT = frozenset({"metageneration"})
_OUTPUTS = tuple(OUTPUTS.values())
_BUFFER = 1 << 20
_CLOSING_S = 2.0


class Objects:
    """The functions of a room whose places `locate` finds."""

    def __init__(self, locate: Callable[[Place], Located]) -> None:
        self._locate = locate

    def look(self, place: Place) -> Mapping[str, Any]:
        """The facts of the object; of a folder the number of its objects, a digest of all their facts, and the facts of each if they are few."""
        store, key = self._locate(place)
        if not _is_folder(key):
            return _facts(place, store.find(key))
        facts = {found.key: _facts(place, found) for found in _data(store, key, place.settings.format) if _is_of(place, _prefix(key), found)}
        each = {"each": facts} if len(facts) <= _SHOWN else {}
        return {"objects": len(facts), "digest": value_digest(facts)} | each

    def open_intake(self, place: Place, dialect: Dialect, is_halted: Callable[[], bool]) -> Intake:
        store, key = self._locate(place)
        is_halted = either(is_halted, place.is_halted)  # the one tells of any end, the other of an abort while this is opened

        def opened(found: Object, part: str | None) -> Intake:
            file = object_file(store, found, is_halted)
            if place.settings.format == "parquet":
                if not is_parquet(file):
                    raise ScoringError("The intake is not Parquet", f"{file.name} is not a Parquet file. Set format: csv if it is CSV.")
                return ParquetIntake(file, part)
            return CsvIntake(file, dialect, is_halted, part)

        if not _is_folder(key):
            return opened(store.find(key), None)
        all_of_them = _data(store, key, place.settings.format)
        files = [partial(opened, found, found.key.removeprefix(_prefix(key))) for found in all_of_them]
        return JoinedIntake(store.url(key), files, sum(found.size for found in all_of_them))

    def open_sink(self, place: Place) -> Sink:
        store, key = self._locate(place)
        if _is_folder(key):
            detail = f"{store.url(key)} is a folder, and has no partition_columns. Name an object, or set format: parquet and partition_columns."
            raise ScoringError("The output is a folder", detail)
        store.check(key)
        return _Patient(store.sink(key), place.is_halted)

    def open_output(self, place: Place, schema: pa.Schema) -> Output[pa.RecordBatch]:
        store, key = self._locate(place)
        store.check(f"{_prefix(key)}_")  # a name that is no data
        return Partitions(store, _prefix(key), place.settings.partition_columns, schema, place.is_halted, place.job)

    def settle(self, place: Place, rows: int) -> None:
        """Nothing: what `finish` has written is in its place."""

    def discard(self, place: Place) -> None:
        """Rows that wait on the disk of this machine. Parts of an upload that a killed process has left are seen by nobody, and cleared away by
        the store: after a week by Azure and Google, by S3 after the days that a lifecycle rule of the bucket says (AbortIncompleteMultipartUpload).
        """
        remove_spills(place.job)


def _is_folder(key: str) -> bool:
    return key.endswith("/")


def _prefix(key: str) -> str:
    return "" if key == "/" else key


def _data(store: Store, key: str, format: str) -> list[Object]:
    """Raises ScoringError when there is none."""
    prefix = _prefix(key)
    found = [each for each in store.list(prefix) if _is_data(each.key.removeprefix(prefix), f".{format}")]
    if not found:
        detail = f"{store.url(key)} has no object whose name ends in .{format}. Correct the url or the format."
        raise Absent("The intake has no objects", detail)
    return sorted(found, key=lambda each: each.key)


def _facts(place: Place, found: Object) -> Mapping[str, Any]:
    unsaid = _ABOUT if isinstance(place.settings, _OUTPUTS) else frozenset()
    return {name: fact for name, fact in found.facts.items() if name not in unsaid}


def _is_of(place: Place, prefix: str, found: Object) -> bool:
    """Of a folder that is an output: what is not in its partitions is another's."""
    *folders, _ = found.key.removeprefix(prefix).split("/")
    columns = getattr(place.settings, "partition_columns", None)
    return columns is None or (len(folders) == len(columns) and all("=" in folder for folder in folders))


def _is_data(name: str, suffix: str) -> bool:
    """A partition's folder (`_day=1`) may begin with what else hides."""
    hidden = any(part.startswith(("_", ".")) and "=" not in part for part in name.split("/"))
    return name.lower().endswith(suffix) and not hidden


def object_file(store: Store, found: Object, is_halted: Callable[[], bool]) -> File:
    name = store.url(found.key)
    return File(
        name,
        found.size,
        lambda: cast(BinaryIO, io.BufferedReader(_Stream(_text(store, found), is_halted), _BUFFER)),
        lambda: cast(BinaryIO, _Seekable(store, found, is_halted)),
    )


def _text(store: Store, found: Object) -> Iterator[bytes]:
    """What is read from the beginning is CSV. Raises ScoringError for Parquet, which is known by how it begins and ends."""
    for number, block in enumerate(store.stream(found)):
        if number == 0 and block.startswith(MAGIC) and store.read(found, max(0, found.size - len(MAGIC)), found.size) == MAGIC:
            raise ScoringError("The intake is Parquet", f"{store.url(found.key)} is a Parquet file. Set format: parquet.")
        yield block


class _Stream(io.RawIOBase):
    def __init__(self, blocks: Iterator[bytes], is_halted: Callable[[], bool]) -> None:
        self._blocks = blocks
        self._block = memoryview(b"")
        self._is_halted = is_halted

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._block:
            block = waited(lambda: next(self._blocks, None), self._is_halted)
            if block is None:
                return 0
            self._block = memoryview(block)
        size = min(len(buffer), len(self._block))
        buffer[:size], self._block = self._block[:size], self._block[size:]
        return size


class _Seekable(io.RawIOBase):
    def __init__(self, store: Store, found: Object, is_halted: Callable[[], bool]) -> None:
        self._store = store
        self._found = found
        self._is_halted = is_halted
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._found.size}[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        stop = min(self._place + len(buffer), self._found.size)
        if stop <= self._place:
            return 0
        content = waited(lambda: self._store.read(self._found, self._place, stop), self._is_halted)
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)


class _Patient:
    """A sink whose writes an abort does not wait for. It does for `finish`: what is shown is the output of a job that ended well."""

    def __init__(self, sink: Sink, is_halted: Callable[[], bool]) -> None:
        self.name = sink.name
        self._sink = sink
        self._is_halted = is_halted

    def write(self, content: bytes) -> None:
        waited(lambda: self._sink.write(content), self._is_halted)

    def finish(self) -> None:
        self._sink.finish()

    def close(self) -> None:
        """What was sent is removed in a thread that is left behind when it takes long, as it does behind a write that hangs."""
        closing = threading.Thread(target=self._sink.close, name="close", daemon=True)
        closing.start()
        closing.join(_CLOSING_S)
