"""One file of the configuration: its values and its places. The rule here: no line that may hold a secret is ever shown.

A document with problems still offers what could be read, so that everything that is wrong is reported at once.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

from reconciler.confidential import may_hold_secret
from reconciler.diagnostic import Diagnostic, Place
from reconciler.spec.position import Path, Positions
from reconciler.spec.reader import Flaw, Span, Unreadable, read

LARGEST = 64 << 20
SECRET_SECTIONS = frozenset({"credentials", "data_stores", "workspaces"})
SECRET_KEYS = frozenset({"api_key", "apiKey", "datarobot_key", "datarobotKey", "customer_key", "customerKey", "headers"})

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # libyaml's own line breaks, so that its line numbers are ours
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SECRET_WORD = re.compile(
    r"""(?:\b(?:credentials|data_stores|workspaces|headers)|(?:api|access|datarobot|customer|private)_?key|password|passphrase|secret|token)["']?\s*:""",
    re.IGNORECASE,
)
_KEY = re.compile(r"""[ ]*(?:-[ ]+)*["']?[\w.-]+["']?[ ]*:""")
_DEEP = 10_000


@dataclass(frozen=True)
class Document:
    """`value` is None for a file that could not be read to its end; `diagnostics` then say why."""

    file: str
    text: str
    value: dict[str, Any] | None
    names: dict[tuple[str, str], Span]
    diagnostics: tuple[Diagnostic, ...] = ()

    @cached_property
    def _lines(self) -> list[str]:
        return _BREAK.split(self.text)

    @cached_property
    def _positions(self) -> Positions:
        return Positions(self.text)

    def line(self, section: str, name: str) -> int:
        return self.names[section, name].line + 1

    def place(self, path: Path, is_key: bool = False) -> Place:
        """The place of the value at `path`, or of its key."""
        span, found_key = self._positions.find(path, is_key)
        is_hidden = not SECRET_KEYS.isdisjoint(path) or bool(path and path[0] in SECRET_SECTIONS)
        return self.place_of(span, found_key, is_hidden)

    def place_of(self, span: Span, is_key: bool, is_hidden: bool = False) -> Place:
        line = self._lines[span.line] if span.line < len(self._lines) else ""
        length = max(min(span.length, len(line) - span.column), 1)
        shown: str | None = line
        if is_hidden or (line and self._secret_lines[span.line]):
            # The key alone, in its column, when it is the key that is wrong; nothing at all for a value.
            shown = " " * span.column + line[span.column : span.column + length] if is_key else None
        return Place(self.file, span.line + 1, span.column + 1, shown, length)

    @cached_property
    def _secret_lines(self) -> list[bool]:
        """Whether each line, or one that it is indented under, names a secret: this works for files that are not YAML as well."""
        found: list[bool] = []
        blocks: list[tuple[int, bool]] = []  # the keys that the line is indented under, and whether they are secret
        for line in self._lines:
            indent = _indent(line)
            while blocks and blocks[-1][0] >= indent:
                blocks.pop()
            is_secret = bool(_SECRET_WORD.search(line)) or may_hold_secret(line) or (bool(blocks) and blocks[-1][1])
            found.append(is_secret)
            if _KEY.match(line):
                blocks.append((indent, is_secret))
        return found


def _indent(line: str) -> int:
    """An entry of a list may stand in its key's own column; a blank line or a comment ends no block."""
    content = line.lstrip(" ")
    if not content or content[0] == "#":
        return len(line) + _DEEP
    return len(line) - len(content) + (content[:2] == "- ")


def open_document(path: FilePath, file: str) -> Document:
    """The document in `path`, which is called `file` in every message."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            return _broken(file, "File too large", f"The file has {size:,} bytes; at most {LARGEST:,} are read. Use for_each, or several files.")
        content = path.read_bytes()
    except OSError as error:
        return _broken(file, "Unreadable file", f"It cannot be read: {error.strerror}. Check its permissions.")
    return parse_document(content, file)


def parse_document(content: bytes, file: str) -> Document:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        detail = f"The byte 0x{content[error.start]:02x} here is not UTF-8. Save the file as UTF-8."
        return _with_flaw(file, content.decode("utf-8-sig", "replace"), Flaw("Not UTF-8", detail, _span_after(before)))
    bad = _UNPRINTABLE.search(text)
    if bad:
        name = "a NUL character" if bad[0] == "\0" else f"the control character U+{ord(bad[0]):04X}"
        detail = f'There is {name} here. Remove it, or write it as an escape in "double quotes".'
        return _with_flaw(file, text, Flaw("Control character", detail, _span_after(text[: bad.start()])))
    return _parse(text, file)


def _parse(text: str, file: str) -> Document:
    try:
        reading = read(text)
    except Unreadable as error:
        return _with_flaw(file, text, error.flaw)
    value = {} if reading.value is None else reading.value
    if not isinstance(value, dict):
        detail = "The file must be a mapping with sections such as `jobs:` and `deployments:`."
        return _with_flaw(file, text, Flaw("Not a mapping", detail, Span(*_first_content(text))))
    unplaced = Document(file, text, value, reading.names)
    return Document(file, text, value, reading.names, tuple(_diagnostic(unplaced, flaw) for flaw in reading.flaws))


def _first_content(text: str) -> tuple[int, int]:
    for number, line in enumerate(_BREAK.split(text)):
        if line.strip() and not line.startswith(("#", "---", "%")):
            return number, len(line) - len(line.lstrip())
    return 0, 0


def _span_after(before: str) -> Span:
    lines = _BREAK.split(before)
    return Span(len(lines) - 1, len(lines[-1]))


def _diagnostic(document: Document, flaw: Flaw) -> Diagnostic:
    return Diagnostic(flaw.summary, flaw.detail, document.place_of(flaw.span, flaw.is_key))


def _with_flaw(file: str, text: str, flaw: Flaw) -> Document:
    unplaced = Document(file, text, None, {})
    return Document(file, text, None, {}, (_diagnostic(unplaced, flaw),))


def _broken(file: str, summary: str, detail: str) -> Document:
    return Document(file, "", None, {}, (Diagnostic(summary, detail, Place(file)),))
