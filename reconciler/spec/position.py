"""Where in a YAML text a value or a key is. The rule here: looked up only when somebody must be shown it.

A text is composed into nodes once, on the first question; a path that leaves the nodes (a key that is
missing) ends at the deepest node that is there.
"""

from functools import cached_property
from typing import Any

from yaml.nodes import MappingNode, Node, SequenceNode

from reconciler.spec.reader import LOADER, Span

Path = tuple[str | int, ...]


class _Nodes(LOADER):  # type: ignore[misc]  # the base class is chosen when the program starts
    """Nodes without tags: resolving them would cost more than all the rest."""

    def resolve(self, *_: Any) -> str:
        return ""

    def descend_resolver(self, *_: Any) -> None: ...

    def ascend_resolver(self) -> None: ...


class Positions:
    """The positions of one text that is known to be readable."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._entries: dict[int, dict[str, tuple[Node, Node]]] = {}

    @cached_property
    def _root(self) -> Any:
        loader = _Nodes(self._text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()

    def find(self, path: Path, is_key: bool) -> tuple[Span, bool]:
        """What to underline, and whether it is a key."""
        key, value = None, self._root
        for part in path:
            entry = self._entry(value, part)
            if entry is None:
                is_key = True  # it is not there: what it is missing from is shown
                break
            key, value = entry[0] or key, entry[1]
        is_empty = value is None or value.start_mark.index == value.end_mark.index
        if key is not None and (is_key or is_empty):
            return _node_span(key), True
        return _node_span(value) if value is not None else Span(0, 0), False

    def _entry(self, node: Any, part: str | int) -> tuple[Node | None, Node] | None:
        if isinstance(node, MappingNode):
            return self._keys(node).get(str(part))
        if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            return None, node.value[part]
        return None

    def _keys(self, node: Any) -> dict[str, tuple[Node, Node]]:
        if id(node) not in self._entries:
            # Reversed: of a key that is there twice the first counts, as in the reader.
            self._entries[id(node)] = {key.value: (key, value) for key, value in reversed(node.value) if isinstance(key.value, str)}
        return self._entries[id(node)]


def _node_span(node: Any) -> Span:
    start, end = node.start_mark, node.end_mark
    return Span(start.line, start.column, end.column - start.column if end.line == start.line else 10_000)
