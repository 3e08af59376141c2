"""Every error a user can meet, as one tree. The rule here: each leaf has its exit code and says what to do next.

ReconcilerError                 1
├── SpecInvalid                 1    the YAML, with every problem found
├── Refused                     1    a command that must not go on (no approval, no such address, …)
│   └── PlanStale               1    the state changed since the plan was made
├── StateError                  1
│   ├── StateCorrupt            1    the database is not one, or is damaged
│   ├── StateUnreadable         1    a folder, or a file that may not be read
│   ├── StateNewer              1    written by a later release
│   ├── StateLocked             1    somebody else is applying
│   └── StateUnwritable         1    a read-only folder, a full disk
├── ServiceError                1    what the Batch Prediction API answered, or that it did not answer
│   ├── InDoubt                 1    nobody knows yet whether a submission made a job
│   ├── UploadCut               1    nobody knows how much of an upload arrived
│   └── JobGone                 1    the service has no such job any longer
├── ScoringError                1    the engine cannot score this: model, data or options
│   ├── ModelError              1    the deployment's folder or artifact
│   ├── JobEnded                1    the job ended, and not well
│   ├── Lost                    1    another system does not answer, or not any longer
│   ├── Absent                  1    another system answers, and has nothing there
│   ├── Unreachable             1    an object store does not answer
│   └── Cancelled               1    the job was aborted while it ran
├── DeliveryError               1    the output cannot be put in its place
├── Detached                    1    a job goes on, and nobody waits for it any longer
├── Stopped                     1    the first interrupt: everything ended in order
└── Interrupted               130    the second interrupt
"""

from collections.abc import Sequence

from reconciler.diagnostic import Diagnostic

# In the words of a job of ours whose last step was not answered; who submitted it goes by them.
UNSETTLED = "Nobody knows whether the rows are in the output"


class ReconcilerError(Exception):
    """The root: `str(error)` is the summary, `detail` says why and what to do."""

    exit_code = 1

    def __init__(self, summary: str, detail: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        return (Diagnostic(self.summary, self.detail),)


class SpecInvalid(ReconcilerError):
    """The configuration cannot be read; every problem is carried."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("Invalid configuration")
        self._diagnostics = tuple(diagnostics)

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        return self._diagnostics


class Refused(ReconcilerError):
    """The command stops before it did anything."""


class PlanStale(Refused):
    """The plan was made on another state than the one that would be written."""


class StateError(ReconcilerError):
    """The state database."""


class StateCorrupt(StateError):
    """The file is not a state database, or is damaged."""


class StateUnreadable(StateError):
    """There is something at the state's path, and the system does not let it be read."""


class StateNewer(StateError):
    """The state was written by a later release of this tool."""


class StateLocked(StateError):
    """Another process holds the lock."""


class StateUnwritable(StateError):
    """The database cannot be written where it is."""


class ServiceError(ReconcilerError):
    """An answer of the API that is not the one asked for; `status` is the HTTP status, None when no answer came."""

    def __init__(self, summary: str, detail: str = "", status: int | None = None) -> None:
        super().__init__(summary, detail)
        self.status = status


class InDoubt(ServiceError):
    """A submission was sent, and no answer says whether it made a job; the list of jobs must tell before anything is sent again.

    `retry_after`: the seconds for which the service wants to be left alone, if it said so.
    """

    def __init__(self, summary: str, detail: str = "", status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(summary, detail, status)
        self.retry_after = retry_after


class UploadCut(ServiceError):
    """The connection broke in an upload, or its end was not answered; the job itself must tell what became of it."""


class JobGone(ServiceError):
    """The service answers, and does not know the job."""


class ScoringError(ReconcilerError):
    """The engine cannot score this job; the message becomes the job's `statusDetails`."""


class ModelError(ScoringError):
    """The deployment's folder or its artifact."""


class JobEnded(ScoringError):
    """The service says that the job failed or was aborted; `status` is the run's: `failed` or `aborted`."""

    def __init__(self, summary: str, detail: str, status: str) -> None:
        super().__init__(summary, detail)
        self.status = status


class Lost(ScoringError):
    """Another system does not answer, or the line to it broke: nobody knows what became of what it was told last."""


class Absent(ScoringError):
    """Another system says that there is nothing where something was looked for."""


class Unreachable(ScoringError):
    """An object store does not answer, whatever it is asked."""


class Cancelled(ScoringError):
    """The job was aborted while it ran."""


class DeliveryError(ReconcilerError):
    """The scored output cannot be put in its place; the previous output is untouched."""


class Detached(ReconcilerError):
    """A timeout of the spec: the job goes on, the run stays open."""


class Stopped(ReconcilerError):
    """The user interrupted, and everything ended in order."""


class Interrupted(ReconcilerError):
    """The user interrupted a second time."""

    exit_code = 130
