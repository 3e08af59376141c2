"""One intake_settings or output_settings block. The rule here: a name becomes its id before the API's own model sees the block."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from reconciler.options import Strict
from reconciler.settings import SYNONYMS, broken_rules
from reconciler.spec.binding import Unbound
from reconciler.spec.model import INTAKES, NAMES, OUTPUTS, names_of
from reconciler.spec.problem import Problems, Spot, did_you_mean
from reconciler.spec.wording import sentence_of, shown, wrongs

SIDES = {"intake_settings": INTAKES, "output_settings": OUTPUTS}

_NAMES = {kind: names_of(kind) for kinds in SIDES.values() for kind in kinds.values()}


@dataclass(frozen=True, slots=True)
class Reader:
    """What a block is read with: how names are resolved, and which types run here (None: all)."""

    resolve: Callable[[str, str], str]
    resolve_id: Callable[[str, str], str]
    types: frozenset[str] | None
    problems: Problems

    def settings(self, block: dict[str, Any], side: str, spot: Spot, address: str) -> Strict | None:
        """The block as the API's model; None when there is a problem, which is then noted."""
        kind = self._kind(block, side, spot)
        if kind is None:
            return None
        before = self.problems.told
        named = self._with_ids(block, kind, spot)
        word = f"{'an' if named['type'] in ('s3', 'azure', 'http') else 'a'} {named['type']} {side.removesuffix('_settings')}"
        try:
            settings = kind.model_validate(named)
        except ValidationError as error:
            for wrong in wrongs(error, kind, word, tuple(_NAMES[kind])):
                path = _as_written(wrong.path, block, kind)
                self.problems.add(Spot(spot.document, spot.path + path), wrong.summary, wrong.detail, is_key=wrong.is_key, address=address)
            return None
        for name, sentence in broken_rules(settings):
            self.problems.add(_spelled(spot, block, kind, name), "Invalid settings", sentence_of(sentence), address=address)
        return settings if self.problems.told == before else None

    def _kind(self, block: dict[str, Any], side: str, spot: Spot) -> type[Strict] | None:
        word, kinds = side.removesuffix("_settings"), SIDES[side]
        written = block.get("type")
        if written is None:
            self.problems.add(spot, "Missing key", f"{side} needs type: one of {', '.join(kinds)}.", is_key=True)
            return None
        name = SYNONYMS.get(written, written) if isinstance(written, str) else None
        if name not in kinds:
            detail = f"{shown(written)} is not a type of {word}.{did_you_mean(written, kinds, 'type')}"
            self.problems.add(spot / "type", f"Unknown {word} type", detail[0].upper() + detail[1:])
            return None
        if self.types is not None and name not in self.types:
            detail = f"The embedded service does not run the {word} type {name}. It runs: {', '.join(sorted(self.types & kinds.keys()))}."
            self.problems.add(spot / "type", f"Unsupported {word} type", detail)
            return None
        return kinds[name]

    def _with_ids(self, block: dict[str, Any], kind: type[Strict], spot: Spot) -> dict[str, Any]:
        names = _NAMES[kind]
        result: dict[str, Any] = {}
        for key, value in block.items():
            if key in names:
                self._add_id(result, block, key, names[key], kind, spot)
            elif value is not None:
                result[key] = self._id(key, value, block, kind, spot)
        result["type"] = SYNONYMS.get(block["type"], block["type"])
        return result

    def _id(self, key: str, value: Any, block: dict[str, Any], kind: type[Strict], spot: Spot) -> Any:
        """A value that is an id, as this workspace has it; every other one as it is, and so is an id beside its name, which is told."""
        meanings = [meaning for meaning in NAMES.values() if meaning[0] in kind.model_fields and key in _spellings(kind, meaning[0])]
        if not meanings or type(value) not in (str, int) or any(_NAMES[kind].get(other) == meanings[0] for other in block):
            return value
        section = meanings[0][1]
        try:
            return self.resolve_id(section, str(value))
        except Unbound as error:
            self.problems.add(spot / key, error.summary, str(error))
            return value

    def _add_id(self, result: dict[str, Any], block: dict[str, Any], key: str, meaning: tuple[str, str], kind: type[Strict], spot: Spot) -> None:
        target, section = meaning
        name = block[key]
        rivals = [other for other in _spellings(kind, target) if block.get(other) is not None]
        if name is None:
            return
        if rivals or target in result:
            detail = f'"{key}" is a name, "{(rivals or [target])[0]}" is the id it stands for. Keep one of the two.'
            self.problems.add(spot / key, "Name and id", detail, is_key=True)
            return
        if not isinstance(name, str):
            self.problems.add(spot / key, "Invalid value", f"{key} must be a text; found {shown(name)}.")
        else:
            try:
                result[target] = self.resolve(section, name)
                return
            except Unbound as error:
                self.problems.add(spot / key, error.summary, str(error))
        result.setdefault(target, "?")  # it is told already: it must not be missing as well


def _spellings(kind: type[Strict], name: str) -> tuple[str, ...]:
    return (name, kind.model_fields[name].alias or name)


def _spelled(spot: Spot, block: dict[str, Any], kind: type[Strict], name: str) -> Spot:
    return spot / next((key for key in _spellings(kind, name) if key in block), name)


def _as_written(path: tuple[str | int, ...], block: dict[str, Any], kind: type[Strict]) -> tuple[str | int, ...]:
    """A problem of an id that came from a name is the name's."""
    if not path or path[0] in block:
        return path
    return next(((key,) for key, (target, _) in _NAMES[kind].items() if target == path[0] and key in block), path)
