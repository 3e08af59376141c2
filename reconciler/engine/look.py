"""What an intake of another system holds now, without reading it. The rule here: nothing heavy is imported until it is asked."""

from collections.abc import Mapping
from typing import Any

from reconciler.engine.packages import engine_packages
from reconciler.engine.place import Place


def look(place: Place) -> Mapping[str, Any] | None:
    """As `Connector.look`: facts that are the same as long as the content is; None when the system does not know. Raises ScoringError."""
    with engine_packages():
        from reconciler.engine.connectors.connector import connector
    return connector(place).look(place)
