"""That nothing is to do, remembered. The rule here: a proof stands only while the specs, the state and every file that was looked at are the same.

A plan that found nothing is a function of the configuration's key, the state's serial and the digests of models, intakes and outputs. When all of
these are what they were, the answer is, and neither the instances nor the runs need to be read: half the cost of a large plan.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from reconciler.digests import Digests
from reconciler.errors import ModelError
from reconciler.fingerprint import digest, value_digest
from reconciler.plan.planner import Wanted
from reconciler.refresh import model_digest
from reconciler.state.snapshot import Snapshot


class Proof(NamedTuple):
    """What was looked at, how many jobs were unchanged, and the digest of everything that decided it."""

    folders: Sequence[str]
    files: Sequence[str]
    unchanged: int
    decided_by: str


def kept_proof(snapshot: Snapshot, workspace: str) -> Proof | None:
    body = snapshot.proof(workspace)
    return None if body is None else Proof(*json.loads(body))


def stands(proof: Proof, key: str, serial: int, root: Path, digests: Digests) -> bool:
    """Looks at every file again; one that changed, or cannot be read, ends the proof."""
    try:
        return proof.decided_by == _decided_by(key, serial, proof.folders, proof.files, root, digests)
    except (OSError, ModelError):
        return False  # the plan that follows says what is wrong


def prove(key: str, serial: int, folders: Sequence[str], instances: Iterable[Wanted], root: Path, digests: Digests) -> Proof:
    """Of a whole plan that has found nothing to do."""
    wanted = list(instances)
    files = [file for instance in wanted for file in (instance.intake_file, instance.output_file) if file is not None]
    used = sorted({instance.deployment for instance in wanted} | set(folders))
    return Proof(used, files, len(wanted), _decided_by(key, serial, used, files, root, digests))


def body_of(proof: Proof) -> str:
    return json.dumps(proof, ensure_ascii=False)


def _decided_by(key: str, serial: int, folders: Iterable[str], files: Iterable[str], root: Path, digests: Digests) -> str:
    models = [model_digest(root, folder, digests) for folder in folders]
    contents = "".join([digests.of(file) or "-" for file in files])
    return value_digest([key, serial, models, digest(contents.encode())])
