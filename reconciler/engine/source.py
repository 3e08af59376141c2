"""The intake's text as a stream of UTF-8 blocks, the form Arrow reads. The rule here: what is not text in the job's encoding never gets past."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from reconciler.engine.dialect import BOM, Dialect
from reconciler.errors import ScoringError

# Also the longest row there can be. Arrow reads up to 32 blocks ahead, so a larger one costs memory (4 MB: 170 MB more) and gains no time.
BLOCK = 1 << 20
# What one byte of another encoding can become in UTF-8.
_GROWTH = 4


class Source:
    """A file object for Arrow: text without BOM and leading blank lines, always ending in a line end, followed by `tail`."""

    def __init__(self, path: Path, dialect: Dialect, tail: bytes) -> None:
        self._path = path
        self._dialect = dialect
        self._tail = tail
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close(), which Arrow calls as well
        except OSError as error:
            raise self._unreadable(error) from error
        self._decoder = codecs.getincrementaldecoder(dialect.encoding)("strict")
        self._blocks = self._text()
        self.position = 0

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        self._file.close()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def read(self, size: int = BLOCK) -> bytes:
        """The next block whatever `size` says: Arrow asks for its own block size, which is ours."""
        return next(self._blocks, b"")

    def _text(self) -> Iterator[bytes]:
        # One block behind, so that the tail is part of the last one: Arrow takes a first block without a whole row for an empty file.
        last = b""
        for block in self._after_blank_lines():
            if b"\0" in block:
                raise ScoringError("The intake holds a NUL byte", f"{self._path}: {self._nul_place()}. Remove it, or set csv_settings.encoding.")
            if last:
                yield last
            last = block
        yield last + (b"" if last[-1:] in b"\r\n" else b"\n") + self._tail

    def _after_blank_lines(self) -> Iterator[bytes]:
        blocks = self._encoded()
        for block in blocks:
            if begun := block.removeprefix(BOM.encode()).lstrip(b"\r\n"):
                yield begun
                break
        yield from blocks

    def _encoded(self) -> Iterator[bytes]:
        """The file's blocks in UTF-8, none of them empty."""
        while raw := self._raw(BLOCK if self._dialect.is_utf8 else BLOCK // _GROWTH):
            self.position += len(raw)
            if block := self._checked(raw):
                yield block
        if rest := self._decoded(b"", final=True).encode():
            yield rest

    def _raw(self, size: int) -> bytes:
        try:
            return self._file.read(size) or b""
        except OSError as error:
            raise self._unreadable(error) from error

    def _checked(self, raw: bytes) -> bytes:
        if not self._dialect.is_utf8:
            return self._decoded(raw).encode()
        if not (raw.isascii() and self._decoder.getstate()[0] == b""):
            self._decoded(raw)
        return raw

    def _decoded(self, raw: bytes, final: bool = False) -> str:
        try:
            return self._decoder.decode(raw, final)
        except UnicodeDecodeError as error:
            # The error counts from the bytes the decoder had kept back from the last block.
            offset = self.position - len(error.object) + error.start
            where = f"byte {offset} (0x{error.object[error.start]:02x})"
            raise self._not_encoded(f"{where} is not {self._dialect.encoding}") from error
        except UnicodeError as error:
            raise self._not_encoded(f"it is not {self._dialect.encoding}: {error}") from error

    def _unreadable(self, error: OSError) -> ScoringError:
        return ScoringError("The intake cannot be read", f"{self._path}: {error.strerror or error}.")

    def _not_encoded(self, what: str) -> ScoringError:
        return ScoringError("The intake is not in its encoding", f"{self._path}: {what}. Set csv_settings.encoding to the file's encoding.")

    def _nul_place(self) -> str:
        with open(self._path, encoding=self._dialect.encoding, errors="replace", newline="") as file:
            lines = iter(lambda: file.readline(BLOCK), "")
            return next((f"line {number} holds it" for number, line in enumerate(lines, 1) if "\0" in line), "a line holds it")
