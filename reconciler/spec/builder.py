"""Jobs to instances. The rule here: what a for_each does not vary is validated once for all of its instances."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from reconciler import options, templates
from reconciler.credential import FITTING, URLS
from reconciler.options import Options, Strict
from reconciler.spec import model
from reconciler.spec.binding import Unbound, Workspace
from reconciler.spec.block import SIDES, Reader
from reconciler.spec.expression import BadExpression, Each, Scope, fill, has_expression, references
from reconciler.spec.instance import OPENERS, Instance, address_of, spec_digest
from reconciler.spec.job import DEPENDENCY, Job
from reconciler.spec.location import Root
from reconciler.spec.model import PATH, TARGETS
from reconciler.spec.problem import Problems, Spot, did_you_mean
from reconciler.spec.secret import check_secrets
from reconciler.spec.wording import sentence_of, shown, wrongs
from reconciler.templates import Times

# For options and the deployment that they are for, a model's folder: the field and the sentence of each that cannot be served.
Refusals = Callable[[Options, str], Iterator[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of an instance as the scorer sees it, and the addresses that its expressions named."""

    wire: dict[str, Any]
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Body(_Part):
    """Everything beside intake and output."""

    deployment: str
    target: dict[str, str]
    metadata: dict[str, Any]
    intake_version: str | None
    on_unknown: Literal["keep", "rerun"]
    probe: str | None


class Builder:
    """Builds the instances of one workspace; jobs must come in the order of their dependencies."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        workspace: Workspace,
        variables: Mapping[str, Any],
        root: Root,
        problems: Problems,
        refusals: Refusals | None,
        types: frozenset[str] | None,
    ) -> None:
        self._jobs, self._workspace, self._variables, self._root, self._problems = jobs, workspace, variables, root, problems
        # What the embedded service cannot do is no matter where there is an endpoint.
        self._refusals = refusals if workspace.endpoint is None else None
        self._reader = Reader(workspace.resolve, workspace.resolve_id, types if workspace.endpoint is None else None, problems)
        self._outputs: dict[str, str | None] = {}

    def instances(self, job: Job) -> Iterator[Instance]:
        body = {key: value for key, value in job.body.items() if key not in SIDES}
        shared: dict[str, Any] = {}
        varies = {name: _varies(value) for name, value in (("body", body), *((side, job.body.get(side)) for side in SIDES))}
        for key, each in job.instances.items():
            address = address_of(job.name, key)
            parts: dict[str, Any] = {}
            for name in varies:
                if varies[name] or name not in shared:
                    shared[name] = self._body(job, body, each, address) if name == "body" else self._settings(job, name, each, address)
                parts[name] = shared[name]
            if all(part is not None for part in parts.values()):
                yield self._instance(job, address, parts["body"], parts["intake_settings"], parts["output_settings"])

    def _instance(self, job: Job, address: str, body: _Body, intake: _Part, output: _Part) -> Instance:
        spec = {**body.target, "intake": intake.wire, "output": output.wire, **self._openers(intake.wire, output.wire), "options": body.wire}
        output_file = output.wire["path"] if output.wire["type"] == "localFile" else None
        self._outputs[address] = output.wire.get("url") if output_file is None else output_file
        self._check_fingerprint(job, body, intake.wire["type"], address)
        self._check_templates(job, body, intake.wire, output.wire, address)
        return Instance(
            address=address,
            deployment=body.deployment,
            spec=spec,
            metadata=body.metadata,
            depends_on=_united(body.uses, intake.uses, output.uses),
            file=job.spot.document.file,
            line=job.spot.document.line("jobs", job.name),
            intake_file=intake.wire["file"] if intake.wire["type"] == "localFile" else None,
            output_file=output_file,
            digest=spec_digest(spec),
            intake_version=body.intake_version,
            on_unknown=body.on_unknown,
            probe=body.probe,
        )

    def _openers(self, *sides: dict[str, Any]) -> dict[str, Any]:
        """What the names are that both sides open their systems with: another database, or another account, under the same name is another place."""
        found: dict[str, dict[str, Any]] = {}
        for field, section in OPENERS.items():
            known = self._workspace.data_store if section == "dataStores" else self._workspace.account
            for side in sides:
                if (id := side.get(field)) and (told := known(id)):
                    found.setdefault(section, {})[id] = told
        return found

    def _check_fingerprint(self, job: Job, body: _Body, kind: str, address: str) -> None:
        """That what the job says of its intake's version can count."""
        needless: tuple[str, str] | None = None
        if body.intake_version is not None and kind in _LOOKED_AT:
            needless = "intake_version", f"What a {kind} intake holds is always looked at. Remove intake_version."
        elif body.probe is not None and kind not in _PROBED:
            needless = "probe", f"A probe is a query, for an intake of type {', '.join(_PROBED)}. This one is a {kind} intake: remove it."
        elif body.probe is not None and body.intake_version is not None:
            needless = "probe", "intake_version says which version of its rows an intake has, so nothing is looked at. Keep one of the two."
        if needless:
            self._problems.add(job.spot_of(needless[0]), "Needless key", needless[1], is_key=True, address=address)

    def _check_templates(self, job: Job, body: _Body, intake: dict[str, Any], output: dict[str, Any], address: str) -> None:
        """That the embedded service has a time for each template, which is no part of a definition with a schedule."""
        if self._workspace.endpoint is not None or not ("query" in intake or "table" in output or body.probe):
            return
        now = Times(datetime.now(UTC))
        for (side, field), sentence in templates.problems({"intakeSettings": intake, "outputSettings": output}, now):
            spot = job.spot_of("intake_settings" if side == "intakeSettings" else "output_settings") / field
            self._problems.add(spot, "Invalid template", f"{sentence[0].upper()}{sentence[1:]}.", address=address)
        for _, sentence in templates.problems({"intakeSettings": {"query": body.probe}}, now):
            self._problems.add(job.spot_of("probe"), "Invalid template", f"{sentence[0].upper()}{sentence[1:]}.", address=address)

    def _body(self, job: Job, raw: dict[str, Any], each: Each | None, address: str) -> _Body | None:
        uses: set[str] = set()
        before = self._problems.told
        filled = self._filled(job, raw, self._scope(each, uses))
        check_secrets({job.written.get(key, key): value for key, value in filled.items()}, job.spot, self._problems)
        target, deployment = self._target(job, filled)
        uses.update(self._dependencies(job, filled.get("depends_on")))
        parsed = self._parsed(job, filled, address)
        if parsed is not None:
            self._check_options(job, parsed, target.get("deployment", ""), address)
        if parsed is None or self._problems.told > before:
            return None
        options, on_unknown = parsed.option_settings(), parsed.on_unknown or "keep"
        return _Body(options, tuple(sorted(uses)), deployment, target, parsed.metadata(), parsed.intake_version, on_unknown, parsed.probe)

    def _filled(self, job: Job, raw: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """Every key whose expressions could be filled in; of the others no more is told than that."""
        if not has_expression(raw):
            return raw
        filled: dict[str, Any] = {}
        for key, value in raw.items():
            before = self._problems.told
            result = fill(value, scope, job.spot_of(key), self._problems)
            if self._problems.told == before and result is not None:
                filled[key] = result
        return filled

    def _parsed(self, job: Job, filled: dict[str, Any], address: str) -> model.Job | None:
        # The sides are validated by models of their own; here only their being there counts.
        sides: dict[str, Any] = {side: {} for side in SIDES if side in job.body}
        try:
            return model.Job.model_validate({**filled, **sides})
        except ValidationError as error:
            for wrong in wrongs(error, model.Job, "a job"):
                self._problems.add(job.spot_at(wrong.path), wrong.summary, wrong.detail, is_key=wrong.is_key, address=address)
        return None

    def _check_options(self, job: Job, parsed: model.Job, deployment: str, address: str) -> None:
        for name, sentence in options.broken_rules(parsed):
            self._problems.add(job.spot_of(name), "Invalid options", sentence_of(sentence), address=address)
        for name, sentence in self._refusals(parsed, deployment) if self._refusals else ():
            self._problems.add(job.spot_of(name), "Unsupported option", sentence_of(sentence), address=address)

    def _target(self, job: Job, filled: dict[str, Any]) -> tuple[dict[str, str], str]:
        """The target as the scorer sees it, and the word for it; nothing, once a problem with it is told."""
        given = [name for name in TARGETS if name in job.body]
        if len(given) != 1:
            found = f"found {' and '.join(given)}" if given else "found none of them"
            detail = f"A job needs exactly one of {', '.join(TARGETS)}; {found}."
            spot = job.spot_of(given[1]) if given else job.spot
            self._problems.add(spot, "Several targets" if given else "Missing target", detail, is_key=True)
            return {}, ""
        text = filled.get(given[0])
        if type(text) is int:
            text = str(text)  # an id of digits only
        if not isinstance(text, str):
            return {}, ""  # not a text: the model tells
        if self._workspace.endpoint is None and given[0] not in ("deployment", "deployment_id"):
            detail = f"The embedded service scores deployments. Use deployment, or a workspace with an endpoint for {given[0]}."
            self._problems.add(job.spot_of(given[0]), "Unsupported target", detail, is_key=True)
            return {}, ""
        if given[0] != "deployment":
            return {_TARGET_KEYS[given[0]]: text}, text
        try:
            return {"deployment": self._workspace.deployment(text)}, text
        except Unbound as error:
            self._problems.add(job.spot_of("deployment"), error.summary, str(error))
            return {}, ""

    def _settings(self, job: Job, side: str, each: Each | None, address: str) -> _Part | None:
        raw, spot = job.body.get(side), job.spot_of(side)
        if raw is None:
            return None  # told as a missing key of the job
        uses: set[str] = set()
        before = self._problems.told
        block = fill(raw, self._scope(each, uses), spot, self._problems)
        if not isinstance(block, dict):
            self._problems.add(spot, "Invalid value", f"{side} must be a mapping; found {shown(block)}.")
            return None
        check_secrets(block, spot, self._problems)
        settings = self._reader.settings(block, side, spot, address) if self._problems.told == before else None
        if settings is None or (wire := self._wire(settings, side, job, block)) is None:
            return None
        self._check_credentials(wire, side, spot, block)
        self._check_store(wire, spot, block)
        return _Part(wire, tuple(sorted(uses)))

    def _check_credentials(self, wire: dict[str, Any], side: str, spot: Spot, block: dict[str, Any]) -> None:
        """That what a credential holds opens such a system, as far as it is known here."""
        storage = wire.get("cloudStorageType", "azure" if wire["type"] == "synapse" else "s3")
        for name, system in (("credential", wire["type"]), ("cloud_storage_credential", storage)):
            held = self._workspace.credential_type(wire.get(to_camel(f"{name}_id"), ""))
            if held is None or held in FITTING.get(system, (held,)):
                continue
            detail = f"This is a credential of type {held}. For {system} it must be of type {' or '.join(FITTING[system])}."
            self._problems.add(spot / _spelling(name, block), "Credential of another type", detail)

    def _check_store(self, wire: dict[str, Any], spot: Spot, block: dict[str, Any]) -> None:
        """That a data store is of the system, as far as it is known here."""
        url = (self._workspace.data_store(wire.get("dataStoreId", "")) or {}).get("jdbcUrl")
        if url and not url.startswith(("${", URLS.get(wire["type"], ""))):
            detail = f"The jdbc_url of this data store does not begin with {URLS[wire['type']]}, which the type {wire['type']} needs here."
            self._problems.add(spot / _spelling("data_store", block), "Data store of another system", detail)

    def _wire(self, settings: Strict, side: str, job: Job, block: dict[str, Any]) -> dict[str, Any] | None:
        """The settings as the scorer sees them. Where there is no endpoint, a dataset and a path are files of this disk."""
        wire = settings.wire()
        if self._workspace.endpoint is None and wire["type"] in ("dataset", "fileSystem"):
            if wire.get("datasetVersionId"):
                detail = f'In the workspace "{self._workspace.name}" a dataset is a file, which has no versions. Remove it.'
                key = "dataset_version_id" if "dataset_version_id" in block else "datasetVersionId"
                self._problems.add(job.spot_of(side) / key, "Needless key", detail, is_key=True)
                return None
            path = wire["datasetId"] if wire["type"] == "dataset" else wire["path"]
            if not re.fullmatch(PATH, path):
                self._problems.add(job.spot_of(side) / "path", "Invalid value", "path must be the path of a file: not empty, not ending in /.")
                return None
            wire = {"type": "localFile", "file" if side == "intake_settings" else "path": path}
        if wire["type"] == "localFile":
            key = "file" if "file" in wire else "path"
            wire[key] = self._root.relative(wire[key])
        return wire

    def _dependencies(self, job: Job, texts: Any) -> Iterator[str]:
        for number, text in enumerate(texts if isinstance(texts, list) else ()):
            try:
                yield from self._addresses(text) if isinstance(text, str) else ()
            except BadExpression as error:
                self._problems.add(job.spot_of("depends_on") / number, error.summary, str(error))

    def _addresses(self, text: str) -> Collection[str]:
        match = DEPENDENCY.fullmatch(text)
        upstream = self._jobs.get(match[1]) if match else None
        if match is None or upstream is None:
            known = did_you_mean(text.removeprefix("job."), self._jobs, "job")
            raise BadExpression("Unknown job", f'There is no job "{text}".{known}')
        if match[2] is None:
            return upstream.addresses()
        key = _key(match[2])
        if key not in upstream.instances:
            raise BadExpression("Unknown instance", _no_instance(upstream, key))
        return [address_of(upstream.name, key)]

    def _scope(self, each: Each | None, uses: set[str]) -> Scope:
        return Scope(self._variables, each, partial(self._output, uses))

    def _output(self, uses: set[str], name: str, key: str | None) -> str:
        job = self._jobs.get(name)
        if job is None:
            raise BadExpression("Unknown job", f'There is no job "{name}".{did_you_mean(name, self._jobs, "job")}')
        if key not in job.instances:
            raise BadExpression("Unknown instance", _no_instance(job, key))
        address = address_of(name, key)
        uses.add(address)
        # A job that could not be built has told why; its address keeps the place of its output, so that nothing is told twice.
        output = self._outputs.get(address, address)
        if output is None:
            detail = f"The output of {address} is a table, which is neither a file nor a url. Use depends_on to wait for it."
            raise BadExpression("Invalid expression", detail)
        return output


def _spelling(name: str, block: dict[str, Any]) -> str:
    """The key of a name, or of its id, as the block has it."""
    spellings = (name, to_camel(name), f"{name}_id", to_camel(f"{name}_id"))
    return next((key for key in spellings if key in block), name)


# Types of intake whose content has a fingerprint of its own.
_LOOKED_AT = ("localFile", "dataset")
# Types of intake that a query can be put to.
_PROBED = ("jdbc", "snowflake", "synapse", "bigquery")

_TARGET_KEYS = {"deployment_id": "deployment", "model_id": "modelId", "model_package_id": "modelPackageId"}


def _united(*uses: tuple[str, ...]) -> tuple[str, ...]:
    """Sorted, each once; a single one is passed on, since thousands of instances may share it."""
    some = [addresses for addresses in uses if addresses]
    return some[0] if len(some) == 1 else tuple(sorted(set().union(*some)))


def _varies(value: Any) -> bool:
    return has_expression(value) and any(reference.root == "each" or reference.is_each_key for reference in references(value))


def _key(quoted: str) -> str:
    """The key between the brackets of an address; without quotes it is taken as it is, to be told as unknown."""
    try:
        return str(json.loads(quoted))
    except json.JSONDecodeError:
        return quoted


def _no_instance(job: Job, key: str | None) -> str:
    keys = [known for known in job.instances if known is not None]
    if key is None:
        example = keys[0] if keys else "key"
        return f"job.{job.name} has a for_each; say which instance: ${{{address_of(job.name, example)}.output}}."
    if not keys:
        return f"job.{job.name} has no for_each; write ${{job.{job.name}.output}}."
    return f'job.{job.name} has no instance "{key}".{did_you_mean(key, keys, "key")}'
