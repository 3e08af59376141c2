"""A credential as it is sent to be kept. The rule here: a refusal names fields and types, and never repeats a value."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from reconciler.api.schema import validation_problems
from reconciler.credential import SECRETS, TYPES
from reconciler.options import Strict
from reconciler.service.refusal import invalid


class Label(Strict):
    """What every credential has beside its secrets."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    description: str = ""


def accepted(body: dict[str, Any]) -> tuple[Label, dict[str, Any]]:
    """The label, and the fields of the type as the wire spells them. Raises Refusal, whose sentences never repeat a value."""
    given = {name: value for name, value in body.items() if value is not None}
    problems, label, secrets = [], None, None
    try:
        label = Label.model_validate({name: value for name, value in given.items() if name in Label.model_fields})
    except ValidationError as error:
        problems += list(validation_problems(error))
    try:
        secrets = SECRETS.validate_python({name: value for name, value in given.items() if name not in Label.model_fields})
    except ValidationError as error:
        problems += [(_without_type(where), _without_value(sentence)) for where, sentence in validation_problems(error)]
    if label is None or secrets is None:
        raise invalid(problems)
    return label, secrets.model_dump(by_alias=True, exclude_none=True)


def _without_type(where: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """pydantic names the alternative of a union first, or nothing when there is none."""
    return where[1:] if where and where[0] in TYPES else where or ("credentialType",)


def _without_value(sentence: str) -> str:
    """For an unknown type pydantic quotes what it got, which may be a secret in the wrong field."""
    return f"one of these is needed: {', '.join(TYPES)}" if "does not match any of the expected tags" in sentence else sentence
