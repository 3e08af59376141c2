"""The intake's text as a stream of blocks in UTF-8. The rule here: what is not text in the job's encoding never gets past."""

from collections.abc import Callable, Generator
from contextlib import closing

from reconciler.engine.ahead import ahead
from reconciler.engine.dialect import BOM, Dialect
from reconciler.engine.file import File, unreadable
from reconciler.errors import ScoringError

BLOCK = 1 << 20
# As many bytes as the longest BOM has.
_MARK = 4


class Source:
    """A file. Raises ScoringError at once when it cannot be opened, and in `blocks` for what it holds."""

    def __init__(self, file: File, dialect: Dialect) -> None:
        self._whole = file
        self._dialect = dialect
        try:
            self._file = file.open()
        except OSError as error:
            raise unreadable(file.name, error) from error
        try:
            self._beginning = self._raw()
            while 0 < len(self._beginning) < _MARK and (more := self._raw()):
                self._beginning += more
        except BaseException:
            self._file.close()
            raise
        self._decoder = dialect.decoder(self._beginning[:_MARK])
        self.position = 0

    def close(self) -> None:
        self._file.close()

    def blocks(self, is_halted: Callable[[], bool]) -> Generator[bytes, None, None]:
        """The file's text without its BOM, cut anywhere; no block is empty. Another encoding is decoded in a thread of its own."""
        encoded = self._encoded()
        with closing(encoded if self._dialect.is_utf8 else ahead(encoded, is_halted)) as blocks:
            for number, block in enumerate(blocks):
                if b"\0" in block:
                    detail = f"{self._whole.name}: {self._nul_place()}. Remove it, or set csv_settings.encoding."
                    raise ScoringError("The intake holds a NUL byte", detail)
                if number > 0:
                    yield block
                elif begun := block.removeprefix(BOM.encode()):
                    yield begun

    def _encoded(self) -> Generator[bytes, None, None]:
        raw, self._beginning = self._beginning or self._raw(), b""
        while raw:
            self.position += len(raw)
            if block := self._checked(raw):
                yield block
            raw = self._raw()
        if rest := self._decoded(b"", final=True).encode():
            yield rest

    def _raw(self) -> bytes:
        try:
            return self._file.read(BLOCK) or b""
        except OSError as error:
            raise unreadable(self._whole.name, error) from error

    def _checked(self, raw: bytes) -> bytes:
        is_between = self._decoder.getstate()[0] == b""  # no half of a character is kept
        if self._dialect.has_ascii and is_between and raw.isascii():
            return raw
        text = self._decoded(raw)
        return raw if self._dialect.is_utf8 else text.encode()

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

    def _not_encoded(self, what: str) -> ScoringError:
        return ScoringError("The intake is not in its encoding", f"{self._whole.name}: {what}. Set csv_settings.encoding to the file's encoding.")

    def _nul_place(self) -> str:
        """In the bytes: no other encoding than UTF-16 and UTF-32 has NULs for anything else."""
        with self._whole.open() as file:
            lines = iter(lambda: file.readline(BLOCK), b"")
            return next((f"line {number} holds it" for number, line in enumerate(lines, 1) if b"\0" in line), "a line holds it")
