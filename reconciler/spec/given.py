"""Variables given in a file (`-var-file`). The rule here: the same strict YAML as the specs, one value a name."""

import json
from pathlib import Path

from reconciler.errors import Refused, SpecInvalid
from reconciler.spec.document import open_document


def read_variables(path: Path) -> dict[str, str]:
    """Names and the texts of their values, as `-var` would give them. Raises Refused and SpecInvalid."""
    if not path.is_file():
        raise Refused(f"There is no variables file {path}", "-var-file takes the path of a YAML file with one NAME: value a line.")
    document = open_document(path, str(path))
    if document.diagnostics or document.value is None:
        raise SpecInvalid(document.diagnostics)
    if empty := [name for name, value in document.value.items() if value is None]:
        raise Refused(f"{path} gives no value to {', '.join(empty)}", 'Write a value behind the colon ("" for an empty text), or leave the name out.')
    return {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for name, value in document.value.items()}
