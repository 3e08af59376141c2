"""That nothing is to do, remembered. The rule here: a proof stands only while the specs, the state and every file that was looked at are the same.

A plan that found nothing is a function of the configuration's key, the state's serial and the digests of models, intakes and outputs. When all of
these are what they were, the answer is, and neither the instances nor the runs need to be read: half the cost of a large plan. Where an endpoint
scores, its deployments and datasets are asked about again, each once; places of other systems are looked at again.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from reconciler.digests import Digests
from reconciler.errors import ModelError
from reconciler.fingerprint import digest, value_digest
from reconciler.plan.planner import Wanted
from reconciler.plan.remote import Answers, Looks, Question
from reconciler.refresh import model_digest
from reconciler.state.snapshot import Snapshot

Ask = Callable[[Mapping[str, Any], Iterable[Question]], Answers]  # of an endpoint's settings
LookAt = Callable[[Mapping[str, Mapping[str, Any]], Iterable[str]], Looks]  # with what opens systems, at places


class Proof(NamedTuple):
    """What was looked at, how many jobs were unchanged, and the digest of everything that decided it.

    Of an endpoint: its settings, what it was asked, and the digest of its answers. Of other systems: what opens them, its secrets as references,
    the places that were looked at, and the digest of what was there.
    """

    folders: Sequence[str]
    files: Sequence[str]
    unchanged: int
    decided_by: str
    endpoint: Mapping[str, Any] | None = None
    questions: Sequence[Question] = ()
    answered: str | None = None
    openers: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    places: Sequence[str] = ()
    seen: str | None = None


def kept_proof(snapshot: Snapshot, workspace: str) -> Proof | None:
    body = snapshot.proof(workspace)
    if body is None:
        return None
    kept = Proof(*json.loads(body))
    return kept._replace(questions=[Question(*question) for question in kept.questions])


def stands(proof: Proof, key: str, serial: int, root: Path, digests: Digests, ask: Ask, look: LookAt) -> bool:
    """Looks at every file again, then asks and looks elsewhere; what changed, or cannot be read, ends the proof. Raises as `ask` does."""
    try:
        is_same_here = proof.decided_by == _decided_by(key, serial, proof.folders, proof.files, root, digests)
    except (OSError, ModelError):
        return False  # the plan that follows says what is wrong
    # Asked last, and only of the specs as they are: the endpoint of others may be gone.
    if not is_same_here or (proof.endpoint is not None and proof.answered != _answered(proof.questions, ask(proof.endpoint, proof.questions))):
        return False
    return not proof.places or proof.seen == _seen(proof.places, look(proof.openers, proof.places))


def prove(key: str, serial: int, folders: Sequence[str], instances: Iterable[Wanted], root: Path, digests: Digests) -> Proof:
    """Of a whole plan that has found nothing to do."""
    wanted = list(instances)
    used = sorted({instance.deployment for instance in wanted} | set(folders))
    files = _files(wanted)
    return Proof(used, files, len(wanted), _decided_by(key, serial, used, files, root, digests))


def prove_at_endpoint(
    key: str, serial: int, endpoint: Mapping[str, Any], instances: Iterable[Wanted], root: Path, digests: Digests, answers: Answers
) -> Proof:
    """The same where an endpoint scores: its answers stand for the models."""
    wanted = list(instances)
    files = _files(wanted)
    asked = sorted(answers)
    return Proof([], files, len(wanted), _decided_by(key, serial, [], files, root, digests), endpoint, asked, _answered(asked, answers))


def with_places(proof: Proof, openers: Mapping[str, Mapping[str, Any]], looks: Looks) -> Proof:
    """That what was at these places has counted too."""
    places = sorted(looks)
    return proof._replace(openers=openers, places=places, seen=_seen(places, looks))


def _files(wanted: Iterable[Wanted]) -> list[str]:
    return [file for instance in wanted for file in (instance.intake_file, instance.output_file) if file is not None]


def body_of(proof: Proof) -> str:
    return json.dumps(proof._replace(openers=dict(proof.openers)), ensure_ascii=False)


def _decided_by(key: str, serial: int, folders: Iterable[str], files: Iterable[str], root: Path, digests: Digests) -> str:
    models = [model_digest(root, folder, digests) for folder in folders]
    contents = "".join([digests.of(file) or "-" for file in files])
    return value_digest([key, serial, models, digest(contents.encode())])


def _seen(places: Iterable[str], looks: Looks) -> str:
    return value_digest([[looks[place].digest, looks[place].is_absent] for place in places])


def _answered(questions: Iterable[Question], answers: Answers) -> str:
    return value_digest([answers[question] for question in questions])
