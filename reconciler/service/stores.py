"""What the service keeps beside jobs. The rule here: everything shares the jobs' database, so that it is one file to copy."""

from dataclasses import dataclass
from pathlib import Path

from reconciler.service import moment
from reconciler.service.connections import Connections
from reconciler.service.credentials import Credentials
from reconciler.service.database import Database
from reconciler.service.datasets import Datasets
from reconciler.service.definitions import Definitions
from reconciler.service.replacements import Replacements
from reconciler.service.secret_box import SecretBox


@dataclass(frozen=True)
class Stores:
    box: SecretBox
    credentials: Credentials
    data_stores: Connections
    data_drivers: Connections
    datasets: Datasets
    definitions: Definitions
    replacements: Replacements


def opened(database: Database, storage: Path, clock: moment.Clock) -> Stores:
    datasets = Datasets(database, storage / "datasets", clock)
    datasets.tidy()
    box = SecretBox(storage / "credentials.key")
    return Stores(
        box=box,
        credentials=Credentials(database, box, clock),
        data_stores=Connections(database, "data_stores", box, clock),
        data_drivers=Connections(database, "data_drivers", box, clock),
        datasets=datasets,
        definitions=Definitions(database, clock),
        replacements=Replacements(database, clock),
    )
