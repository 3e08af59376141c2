"""The specs as the instances that should exist. The rule here: what was parsed and validated is kept, keyed by everything that decides the result.

A key holds the content of every spec file, the project's folder (an absolute path inside of it is a relative one), the workspace, the variables, the
release and the code that reads, compares and decides (a proof stands on the key, see `proof.py`); a hit needs no YAML, no pydantic, no rules. Which
models decide is known by what was kept alone, so that holds what they said of themselves.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.digests import Digests
from reconciler.errors import ModelError
from reconciler.fingerprint import value_digest
from reconciler.plan.planner import Wanted
from reconciler.plan.remote import Remote, remote_of, remote_of_local
from reconciler.project import Project
from reconciler.spec.files import MODEL_MARKS, spec_files, unreadable
from reconciler.state.snapshot import Snapshot
from reconciler.version import VERSION

if TYPE_CHECKING:
    from reconciler.options import Options
    from reconciler.spec.builder import Refusals
    from reconciler.spec.instance import Instance
    from reconciler.spec.loader import Configuration

_CODE = ("*.py", "engine/capability.py", "engine/metadata.py", "engine/connectors/rooms.py", "plan/*.py", "spec/*.py")


class Detail(NamedTuple):
    """What a plan needs of an instance only when it changes."""

    deployment: str
    spec: dict[str, Any]
    metadata: dict[str, Any]
    file: str
    line: int


@dataclass(frozen=True)
class Specs:
    """One workspace's instances. `fresh` holds what was parsed just now and is not kept in the state yet."""

    key: str
    instances: Sequence[Wanted]
    folders: tuple[str, ...]  # the model folders of the deployments
    snapshot: Snapshot
    fresh: Mapping[str, Detail] | None
    endpoint: Mapping[str, Any] | None = None  # the workspace's raw settings; None: the embedded service
    remotes: Mapping[str, Remote] = field(default_factory=dict)  # of instances with places that are no files; of all at an endpoint
    trusted: tuple[str, ...] = ()  # those of the folders whose code may run
    models: str = ""  # a digest of what the models say of themselves, by which options are refused
    openers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what opens systems, by section and id; secrets are references

    def details(self, addresses: Iterable[str]) -> dict[str, Detail]:
        if self.fresh is not None:
            return {address: self.fresh[address] for address in addresses}
        kept = self.snapshot.configured_instances(self.key, addresses)
        return {address: Detail(*body) for address, body in kept.items()}

    def body(self) -> str:
        # Column by column: 100,000 rows would be as many lists, made to be copied into tuples.
        columns = {field: [getattr(instance, field) for instance in self.instances] for field in Wanted._fields}
        rest = {name: getattr(self, name) for name in ("folders", "trusted", "models", "endpoint", "remotes", "openers")}
        return json.dumps({**rest, "instances": columns}, ensure_ascii=False)

    def detail_rows(self) -> list[tuple[str, str]]:
        return [(address, json.dumps(detail, ensure_ascii=False)) for address, detail in (self.fresh or {}).items()]


def read_specs(project: Project, snapshot: Snapshot, key: str, digests: Digests) -> Specs:
    """The instances of the configuration with this key. Raises SpecInvalid with every problem."""
    kept = snapshot.configuration(key)
    body = json.loads(kept) if kept else None
    if body is None or body["models"] != _models(body["folders"], digests):
        return _parse(project, snapshot, key, digests)
    columns = body["instances"]
    columns["depends_on"] = map(tuple, columns["depends_on"])
    instances = list(map(Wanted, *(columns[field] for field in Wanted._fields)))
    remotes = {address: Remote(*remote) for address, remote in body["remotes"].items()}
    folders, trusted = tuple(body["folders"]), tuple(body["trusted"])
    return Specs(key, instances, folders, snapshot, None, body["endpoint"], remotes, trusted, body["models"], body["openers"])


def configuration_key(project: Project, digests: Digests) -> str:
    """Of everything that decides what the specs mean. Raises SpecInvalid when a file cannot be read."""
    files = [path.relative_to(project.root).as_posix() for path in spec_files(project.root)]
    contents = {file: _content(file, digests) for file in files}
    code = Path(__file__).parent
    readers = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for pattern in _CODE for path in sorted(code.glob(pattern))]
    # The release too: a package may be built with one time for all of its files.
    decided_by = [VERSION, str(project.root.absolute()), project.workspace, dict(project.variables), dict(project.offered), readers]
    return value_digest([*decided_by, contents])


def _models(folders: Iterable[str], digests: Digests) -> str:
    return value_digest([_content(f"{folder}/{name}", digests) for folder in folders for name in sorted(MODEL_MARKS)])


def _content(file: str, digests: Digests) -> str | None:
    try:
        return digests.of(file)
    except OSError as error:
        raise unreadable(file, error) from None


def load_specs(project: Project) -> "Configuration":
    """Parse and check the specs, as the embedded service will take them. Raises SpecInvalid with every problem."""
    from reconciler.embedded import SERVED_TYPES
    from reconciler.spec.loader import load

    return load(
        project.root,
        workspace=project.workspace,
        variables=project.variables,
        offered=project.offered,
        refusals=_refusals(project.root),
        local_types=SERVED_TYPES,
    )


def _refusals(root: Path) -> "Refusals":
    """What the embedded engine refuses, by the model too where its folder can be read; the service asks again when the job comes."""
    from reconciler.engine.capability import model_refusals, refusals
    from reconciler.engine.metadata import Metadata, read_metadata

    @cache
    def metadata(folder: str) -> Metadata | None:
        try:
            return read_metadata(root / folder, is_trusted=True)  # nothing is loaded, so there is nothing to trust
        except ModelError:
            return None

    def refused(options: "Options", folder: str) -> Iterator[tuple[str, str]]:
        known = metadata(folder) if folder else None
        return model_refusals(options, known) if known else refusals(options)

    return refused


def _parse(project: Project, snapshot: Snapshot, key: str, digests: Digests) -> Specs:
    read = load_specs(project)
    wanted = [
        Wanted(i.address, i.digest, value_digest(i.metadata), i.spec.get("deployment", ""), i.intake_file, i.output_file, i.depends_on)
        for i in read.instances
    ]
    details = {i.address: Detail(i.deployment, i.spec, i.metadata, i.file, i.line) for i in read.instances}
    remotes = {i.address: remote for i in read.instances if (remote := _remote(read, i)) is not None}
    folders, trusted = tuple(sorted(set(read.deployments.values()))), tuple(sorted(read.trusted))
    return Specs(key, wanted, folders, snapshot, details, read.endpoint, remotes, trusted, _models(folders, digests), read.openers)


def _remote(read: "Configuration", instance: "Instance") -> Remote | None:
    said = instance.spec, instance.intake_version, instance.on_unknown, instance.probe
    return remote_of_local(*said) if read.endpoint is None else remote_of(*said, read.openers)
