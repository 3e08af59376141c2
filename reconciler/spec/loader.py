"""Everything under specs/ to the instances of one workspace. The rule here: all problems at once, or a configuration without any."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from reconciler.collector import collector_paused
from reconciler.diagnostic import Diagnostic
from reconciler.errors import SpecInvalid
from reconciler.spec.binding import LOCAL, Workspace
from reconciler.spec.builder import Builder, Refusals
from reconciler.spec.collision import check_collisions
from reconciler.spec.document import Document, open_document
from reconciler.spec.files import FOLDER, spec_files
from reconciler.spec.instance import Instance
from reconciler.spec.job import in_order, read_jobs
from reconciler.spec.location import Root
from reconciler.spec.problem import Problems
from reconciler.spec.section import merged
from reconciler.spec.variable import variable_values

_NONE_GIVEN: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Configuration:
    """`endpoint` are the workspace's settings, `${env.X}` not yet filled in; None means the embedded service."""

    workspace: str
    endpoint: dict[str, Any] | None
    instances: tuple[Instance, ...]
    deployments: dict[str, str]
    trusted: frozenset[str] = frozenset()  # the deployments' folders whose code may run
    openers: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # credentials and data stores by id, their secrets as references


class Given(NamedTuple):
    """Texts for variables: asked for by name, and offered to whoever declares them."""

    asked: Mapping[str, str]
    offered: Mapping[str, str]

    def of(self, declared: Container[str]) -> dict[str, str]:
        return {**{name: text for name, text in self.offered.items() if name in declared}, **self.asked}


def load(
    root: Path,
    *,
    workspace: str = LOCAL,
    variables: Mapping[str, str] = _NONE_GIVEN,
    offered: Mapping[str, str] = _NONE_GIVEN,
    refusals: Refusals | None = None,
    local_types: frozenset[str] | None = None,
) -> Configuration:
    """The configuration of one workspace. Raises SpecInvalid with every problem.

    `refusals` and `local_types` say what the embedded service cannot and can do; they are not asked when the workspace has an endpoint.
    """
    if not (root / FOLDER).is_dir():
        detail = f"There is no folder {root.absolute() / FOLDER}. Create it with a file such as specs/jobs.yaml, or start in the project's folder."
        raise SpecInvalid([Diagnostic("No specifications", detail)])
    with collector_paused():
        documents = [open_document(path, path.relative_to(root).as_posix()) for path in spec_files(root)]
        return _configured(documents, root, workspace, Given(variables, offered), refusals, local_types)


def _configured(
    documents: Sequence[Document],
    root: Path,
    name: str,
    given: Given,
    refusals: Refusals | None,
    local_types: frozenset[str] | None,
) -> Configuration:
    problems = Problems()
    for document in documents:
        problems.take(document.diagnostics)
    if any(document.value is None for document in documents):
        problems.raise_if_any()  # what an unreadable file declares would be told as unknown everywhere else
    sections = merged(documents, problems)
    variables = variable_values(sections["variables"], given.of(sections["variables"]), problems)
    place = Root(root)
    workspace = Workspace(name, sections, variables, place, problems)
    if not workspace.is_known:
        problems.raise_if_any()
    jobs = read_jobs(sections["jobs"], variables, problems)
    builder = Builder(jobs, workspace, variables, place, problems, refusals, local_types)
    built = [instance for job in in_order(jobs, problems) for instance in builder.instances(job)]
    instances = sorted(built, key=lambda instance: instance.address)
    check_collisions(instances, jobs, [document.file for document in documents], place, problems)
    problems.raise_if_any()
    return Configuration(name, workspace.endpoint, tuple(instances), workspace.deployments(), workspace.trusted(), workspace.openers())
