"""Which room a system has, and what it needs. The rule here: nothing is imported to know it."""

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import NamedTuple

from reconciler.engine.place import Place


class Room(NamedTuple):
    module: str
    extra: str  # what installs its library
    library: str  # what is imported


ROOMS: Mapping[str, Room] = MappingProxyType(
    {
        "s3": Room("s3", "aws", "obstore"),
        "azure": Room("azure", "azure", "obstore"),
        "gcp": Room("gcp", "gcp", "google.cloud.storage"),
        "http": Room("http", "http", "httpx"),
        "jdbc": Room("jdbc", "postgresql", "adbc_driver_postgresql"),
        "snowflake": Room("snowflake", "snowflake", "snowflake.connector"),
        "synapse": Room("synapse", "synapse", "mssql_python"),
        "bigquery": Room("bigquery", "bigquery", "google.cloud.bigquery"),
    }
)


def is_installed(type: str) -> bool:
    """Whether the library of this type's room is here, without importing it."""
    try:
        return find_spec(ROOMS[type].library) is not None
    except ImportError:  # of a package around it
        return False


def takes_rows(place: Place) -> bool:
    """Whether an output is made of rows, not of the bytes of one file."""
    return not hasattr(place.settings, "url") or bool(getattr(place.settings, "partition_columns", None))
