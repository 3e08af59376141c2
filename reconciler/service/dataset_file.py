"""A dataset's file while it arrives: to the disk, and counted on the way. The rule here: memory holds one block, whatever the file holds."""

import contextlib
import os
from pathlib import Path

_FOREIGN = {b"PAR1": "Parquet", b"PK\x03\x04": "a ZIP archive or a spreadsheet", b"\x1f\x8b": "gzip", b"\xd0\xcf\x11\xe0": "a spreadsheet"}


class RowCounter:
    """Counts CSV rows: line ends outside quotes, without blank lines. Quotes are counted, not parsed, for the dialect is not known yet."""

    def __init__(self) -> None:
        self._records = 0
        self._is_quoted = False
        self._is_blank = True

    def add(self, block: bytes) -> None:
        *ended, rest = block.split(b"\n")
        for line in ended:
            self._read(line)
            if not self._is_quoted:
                self._end()
        self._read(rest)

    @property
    def rows(self) -> int:
        """Without the header line; the last row needs no line end."""
        return max(0, self._records + (not self._is_blank) - 1)

    @property
    def has_header(self) -> bool:
        return self._records > 0 or not self._is_blank

    def _read(self, line: bytes) -> None:
        self._is_quoted ^= bool(line.count(b'"') & 1)
        self._is_blank = self._is_blank and line in (b"", b"\r")

    def _end(self) -> None:
        self._records += not self._is_blank
        self._is_blank = True


class Arrival:
    """One file on its way in, under a name that is not yet its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self._file = open(self._part, "wb")  # noqa: SIM115 - closed by keep and discard
        self._rows = RowCounter()
        self._start = b""
        self._has_nul = False
        self.size = 0

    def write(self, block: bytes) -> None:
        self._file.write(block)
        self._rows.add(block)
        self._start += block[: 4 - len(self._start)]
        self._has_nul = self._has_nul or b"\0" in block
        self.size += len(block)

    @property
    def row_count(self) -> int:
        return 0 if self.error else self._rows.rows

    @property
    def error(self) -> str:
        """Why this cannot be a dataset; "" when it can."""
        for magic, name in _FOREIGN.items():
            if self._start.startswith(magic):
                return f"the file is {name}; this service keeps CSV text"
        if not self._rows.has_header:
            return "the file is empty"
        return "the file holds a NUL byte, so it is no CSV text" if self._has_nul else ""

    def keep(self) -> None:
        """Whole and durable under its own name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._path)
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # what is still in the buffer may not fit on the disk
            self._file.close()
        self._part.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
