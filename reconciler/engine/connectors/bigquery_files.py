"""The Parquet files that a job's rows are in, on their way between BigQuery and us. The rule here: they are the job's own, and found by its name."""

from collections.abc import Callable, Sequence

from reconciler.engine.connectors.gcp import GoogleBucket
from reconciler.engine.connectors.objects import object_file
from reconciler.engine.file import File
from reconciler.engine.sink import Sink
from reconciler.errors import ScoringError


class Files:
    """Those of a bucket whose names begin with `prefix`; `rest` is what comes behind it. Raises ScoringError, from every method but `remove`."""

    def __init__(self, bucket: GoogleBucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    def uri(self, rest: str) -> str:
        return self._bucket.url(self._prefix + rest)

    def at(self, rest: str, is_halted: Callable[[], bool]) -> Sequence[File]:
        """In the order of their names."""
        found = sorted(self._bucket.list(self._prefix + rest), key=lambda each: each.key)
        return [object_file(self._bucket, each, is_halted) for each in found]

    def sink(self, rest: str) -> Sink:
        return self._bucket.sink(self._prefix + rest)

    def clear(self) -> None:
        self._bucket.remove([found.key for found in self._bucket.list(self._prefix)])

    def remove(self) -> None:
        """As far as it goes: what has been done with them is done, and is not undone by what stays."""
        try:
            self.clear()
        except ScoringError:
            return
