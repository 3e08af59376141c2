"""YAML text as plain Python values, in one pass over libyaml's events. The rule here: what two readers could understand differently is refused.

No position is kept for a value: positions are looked up again for the few that a diagnostic needs (`position.py`). Only the names
in a section (`jobs: churn:`) keep their line, since every instance carries it.
"""

from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from reconciler.spec.scalar import plain_value

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster; the events are the same
DEEPEST = 64

_STANDARD_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one line; line and column count from 0, as libyaml has them."""

    line: int
    column: int
    length: int = 1


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something in the YAML itself; `is_key` says that what is underlined is a mapping's key."""

    summary: str
    detail: str
    span: Span
    is_key: bool = False


class Unreadable(Exception):
    """The text cannot be read to its end."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.summary)
        self.flaw = flaw


@dataclass(slots=True)
class Reading:
    """The values of one text, where each section's names are, and what is wrong but did not stop the reader."""

    value: Any = None
    names: dict[tuple[str, str], Span] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)


def read(text: str, loader: Any = LOADER) -> Reading:
    """Raises Unreadable for the first flaw that ends the reading."""
    reader = _Reader(loader(text))
    try:
        return reader.document()
    except yaml.MarkedYAMLError as error:
        raise Unreadable(_syntax_flaw(error, text)) from None
    finally:
        reader.close()


class _Reader:
    def __init__(self, loader: Any) -> None:
        self._next, self.close = loader.get_event, loader.dispose
        self._anchors: dict[str, Any] = {}
        self._open_anchors = 0
        self._result = Reading()

    def document(self) -> Reading:
        self._next()
        if isinstance(self._next(), StreamEndEvent):
            return self._result
        start = self._next()
        self._result.value = self._sections(start) if type(start) is MappingStartEvent else self._value(start, 1)
        end = self._next()
        assert isinstance(end, DocumentEndEvent)
        following = self._next()
        if isinstance(following, DocumentStartEvent):
            raise Unreadable(Flaw("Several documents in one file", "Put each document into a file of its own.", _span(following)))
        return self._result

    def _sections(self, start: Any) -> dict[str, Any]:
        self._check(start)
        result: dict[str, Any] = {}
        spans: dict[str, Span] = {}
        while type(event := self._next()) is not MappingEndEvent:
            key = self._key(event, spans)
            following = self._next()
            is_section = key is not None and type(following) is MappingStartEvent
            value = self._names(following, key or "") if is_section else self._value(following, 2)
            if key is not None:
                result.setdefault(key, value)
        return result

    def _names(self, start: Any, section: str) -> dict[str, Any]:
        spans: dict[str, Span] = {}
        result: dict[str, Any] = self._anchored(start, lambda: self._mapping(2, spans))
        self._result.names.update({(section, name): span for name, span in spans.items()})
        return result

    def _value(self, event: Any, depth: int) -> Any:
        kind = type(event)
        if kind is ScalarEvent:
            value = plain_value(event.value) if event.implicit[0] else event.value
            if event.tag is None and event.anchor is None:
                return value
            return self._anchored(event, lambda: value)
        if kind is AliasEvent:
            return self._alias(event)
        if depth >= DEEPEST:
            raise Unreadable(Flaw("Nested too deeply", f"More than {DEEPEST} levels of nesting are not read.", _span(event)))
        if event.tag is None and event.anchor is None:
            return self._mapping(depth) if kind is MappingStartEvent else self._sequence(depth)
        return self._anchored(event, (lambda: self._mapping(depth)) if kind is MappingStartEvent else (lambda: self._sequence(depth)))

    def _mapping(self, depth: int, spans: dict[str, Span] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = {}
        spans = {} if spans is None else spans
        while type(event := self._next()) is not MappingEndEvent:
            key = self._key(event, spans)
            value = self._value(self._next(), depth + 1)
            if key is not None:
                result.setdefault(key, value)
        return result

    def _sequence(self, depth: int) -> list[Any]:
        result = []
        while type(event := self._next()) is not SequenceEndEvent:
            result.append(self._value(event, depth + 1))
        return result

    def _key(self, event: Any, spans: dict[str, Span]) -> str | None:
        """The key's text; None, with its flaw noted, for one that is refused."""
        if type(event) is not ScalarEvent or event.tag not in _STANDARD_TAGS or event.anchor is not None:
            self._refuse_key(event)
            return None
        key: str = event.value
        if event.implicit[0] and (key == "<<" or not isinstance(plain_value(key), str | bool)):
            self._refuse_key(event)
            return None
        if key in spans:
            detail = f'"{key}" is already set in line {spans[key].line + 1}. Keep one of the two.'
            self._result.flaws.append(Flaw("Duplicate key", detail, _span(event), is_key=True))
            return None
        spans[key] = _span(event)
        return key

    def _refuse_key(self, event: Any) -> None:
        if type(event) is not ScalarEvent or event.anchor is not None:
            raise Unreadable(Flaw("Key is not text", "A key is a plain or quoted text, without an anchor or an alias.", _span(event)))
        if event.tag not in _STANDARD_TAGS:
            self._check(event)
        elif event.value == "<<":
            detail = "Merge keys are read differently by different tools. Write the keys out, or use for_each for jobs that are alike."
            self._result.flaws.append(Flaw("Merge key", detail, _span(event), is_key=True))
        else:
            detail = f'{event.value or "An empty key"} is not text; quote it: "{event.value}".'
            self._result.flaws.append(Flaw("Key is not text", detail, _span(event), is_key=True))

    def _check(self, event: Any) -> None:
        if event.tag not in _STANDARD_TAGS:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            detail = f"{tag} is not read here: a specification holds plain data. Write the value without a tag; quote it if it is text."
            self._result.flaws.append(Flaw("YAML tag", detail, _span(event)))

    def _anchored(self, event: Any, build: Any) -> Any:
        self._check(event)
        if event.anchor is None:
            return build()
        if event.anchor in self._anchors:
            raise Unreadable(Flaw("Duplicate anchor", f"&{event.anchor} is already defined. Give this one another name.", _span(event)))
        self._open_anchors += 1
        value = build()
        self._open_anchors -= 1
        self._anchors[event.anchor] = value
        return value

    def _alias(self, event: Any) -> Any:
        if self._open_anchors:
            detail = f"*{event.anchor} stands inside of a block that has an anchor itself. Write the block out once without the alias."
            raise Unreadable(Flaw("Alias inside an anchored block", detail, _span(event)))
        if event.anchor not in self._anchors:
            known = "; the anchors above are: " + ", ".join(f"&{name}" for name in self._anchors) if self._anchors else ""
            detail = f"No anchor &{event.anchor} comes before this alias{known}. A text that begins with * must be quoted."
            raise Unreadable(Flaw("Unknown alias", detail, _span(event)))
        return self._anchors[event.anchor]


def _span(event: Any) -> Span:
    start, end = event.start_mark, event.end_mark
    return Span(start.line, start.column, max(end.column - start.column, 1) if end.line == start.line else 1)


# What libyaml says, and what that means for someone who wrote a specification.
_MEANINGS = (
    ("mapping values are not allowed", "A colon with a space after it begins a value. Quote the text that holds it, or check the indentation."),
    ("did not find expected ',' or '}'", "Inside { } every entry ends with a comma, and a text that holds { } , or ${…} must be quoted."),
    ("did not find expected ',' or ']'", "Inside [ ] every entry ends with a comma, and a text that holds [ ] , or ${…} must be quoted."),
    ("did not find expected key", "The indentation does not fit the lines above, or a quote or bracket above is not closed."),
    ("did not find expected '-' indicator", "The indentation does not fit the list above."),
    ("could not find expected ':'", "A key needs a colon and a space after it."),
    ("unexpected end of stream", "A quote is not closed."),
    ("cannot start any token", "A text may not begin with this character. Quote it."),
    ("alphabetic or numeric character", "A text that begins with * or & must be quoted."),
    ("unknown escape character", "In \"double quotes\" a backslash begins an escape. Use 'single quotes' or write \\\\."),
    ("undefined tag handle", "A text that begins with ! must be quoted."),
)


def _syntax_flaw(error: yaml.MarkedYAMLError, text: str) -> Flaw:
    # Of a quote that is never closed, the beginning is what helps.
    is_open = "unexpected end of stream" in (error.problem or "")
    mark: Any = (is_open and error.context_mark) or error.problem_mark or error.context_mark
    span = Span(mark.line, mark.column) if mark else Span(0, 0)
    if mark and text[mark.index : mark.index + 1] == "\t":
        return Flaw("Tab in the indentation", "There is a tab here. YAML is indented with spaces only.", span)
    problem = error.problem or "the text ends too early"
    meaning = next((meaning for words, meaning in _MEANINGS if words in problem), "")
    return Flaw("Invalid YAML", f"{meaning} (The parser says: {problem}.)" if meaning else f"The parser says: {problem}.", span)
