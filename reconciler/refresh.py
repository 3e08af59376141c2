"""What the world looks like now: intakes, deployed models, outputs. The rule here: it looks and never decides."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from reconciler.diagnostic import Diagnostic
from reconciler.digests import Digests
from reconciler.errors import ModelError
from reconciler.fingerprint import folder_files, listing_digest
from reconciler.plan.planner import Observed, Wanted
from reconciler.state.record import Recorded


class World(NamedTuple):
    """What was seen, by address, and what could not be looked at, by address."""

    observed: dict[str, Observed]
    problems: dict[str, Diagnostic]


def look(instances: Iterable[Wanted], recorded: Mapping[str, Recorded], root: Path, digests: Digests) -> World:
    """Look at every instance: each file is stat-ed, and read only if it changed; each deployment is looked at once."""
    wanted = list(instances)
    written = {instance.output_file for instance in wanted}
    observed: dict[str, Observed] = {}
    problems: dict[str, Diagnostic] = {}
    models: dict[str, str | ModelError] = {}
    for instance in wanted:
        address, intake = instance.address, instance.intake_file
        try:
            model = models.get(instance.deployment) or models.setdefault(instance.deployment, _model(root, instance.deployment, digests))
            seen = None if intake is None else digests.of(intake)
            known = recorded.get(address)
            current = None if known is None else known.current
            output = None if current is None or current.output_file is None else digests.of(current.output_file)
        except OSError as error:
            problems[address] = Diagnostic("A file cannot be read", f"{error.filename}: {error.strerror}. Check the path and its permissions.")
        else:
            if isinstance(model, ModelError):
                problems[address] = Diagnostic(model.summary, model.detail)
            elif seen is None and intake not in written:
                problems[address] = _missing(intake)
            else:
                observed[address] = Observed(seen, model, output)
    return World(observed, problems)


def model_digest(root: Path, folder: str, digests: Digests) -> str:
    """The identity of a deployed model: the names and bytes of the files in its folder. Raises ModelError and OSError."""
    top = root / folder
    if not top.is_dir():
        raise ModelError(
            "The model folder does not exist",
            f"There is no folder {folder}. A local deployment is a folder with model-metadata.yaml and the model's file beside it.",
        )
    prefix = f"{folder.rstrip('/')}/"
    found = {path.relative_to(top).as_posix(): digests.of(prefix + path.relative_to(top).as_posix()) for path in folder_files(top)}
    return listing_digest({name: digest for name, digest in found.items() if digest is not None})


def _model(root: Path, folder: str, digests: Digests) -> str | ModelError:
    try:
        return model_digest(root, folder, digests)
    except ModelError as error:
        return error


def _missing(intake: str | None) -> Diagnostic:
    return Diagnostic(
        "The intake file does not exist",
        f"There is no file {intake}. Relative paths start at the folder that holds specs/. Put the file there, or correct `file`.",
    )
