"""Who asks BigQuery, where, and what its answers mean. The rule here: every wait has an end, and no message holds a secret.

The credential is the key of a service account (`gcpKey`): its own `token_uri` is asked for tokens, and its project runs the jobs. Endpoints are
Google's, or those of the key's `universe_domain`, unless the environment names others: BIGQUERY_EMULATOR_HOST and STORAGE_EMULATOR_HOST (URLs, as
Google's own clients read them), and BIGQUERY_STORAGE_EMULATOR_HOST (host:port, without TLS), for which Google's client has no name. Where the first
one is set, no credential is needed. Google's "application default" credential is never used: it is the machine's, not that of whoever sent the job.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.requests import Request
from google.cloud import bigquery, bigquery_storage, storage
from google.cloud.bigquery.retry import DEFAULT_RETRY
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.oauth2 import service_account

from reconciler.engine.connectors.gcp import GoogleBucket
from reconciler.engine.place import Place
from reconciler.errors import Cancelled, Lost, ScoringError

TIMEOUT = 15.0  # seconds without an answer, in one try
_PATIENCE_S = 10.0  # for all tries
JOB: dict[str, Any] = {"retry": DEFAULT_RETRY.with_timeout(_PATIENCE_S), "timeout": TIMEOUT}
STREAM: dict[str, Any] = {"retry": Retry(predicate=lambda error: isinstance(error, exceptions.ServiceUnavailable), initial=0.1, timeout=_PATIENCE_S)}
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_NEEDED = ("client_email", "private_key", "project_id", "token_uri")
# A connection that is dead is found dead, and a message may be as large as a server makes it.
_CHANNEL = (("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000), ("grpc.max_receive_message_length", -1))

_ADVICE: Mapping[type[Exception], tuple[str, str]] = {
    exceptions.Unauthorized: ("BigQuery refuses the credential", "Check the credential's gcpKey."),
    exceptions.Forbidden: ("BigQuery refuses access", "Give the service account that role, or use another credential."),
    exceptions.NotFound: ("BigQuery does not have it", "Check dataset, table and bucket, and what the service account may see."),
    exceptions.ServerError: ("BigQuery is in trouble", "Try again later."),
    exceptions.GoogleAPICallError: ("BigQuery refuses the request", "Correct what it names."),
}


@dataclass(frozen=True)
class Account:
    """`universe` is the domain of Google's services, which is another one in a cloud of one's own."""

    project: str
    credentials: Any
    universe: str = "googleapis.com"

    def client(self) -> bigquery.Client:
        return bigquery.Client(self.project, self.credentials, client_options={"universe_domain": self.universe})

    def bucket(self, name: str) -> GoogleBucket:
        return GoogleBucket(storage.Client(self.project, self.credentials, client_options={"universe_domain": self.universe}), name)

    def reader(self) -> bigquery_storage.BigQueryReadClient:
        """Of the Storage API. Raises ScoringError where only the other API's endpoint is known."""
        host = os.environ.get("BIGQUERY_STORAGE_EMULATOR_HOST")
        if host:
            channel = grpc.insecure_channel(host, _CHANNEL)
        elif _is_elsewhere():
            detail = "BIGQUERY_EMULATOR_HOST is set, and BIGQUERY_STORAGE_EMULATOR_HOST is not. Set it, or name a bucket to read a table through."
            raise ScoringError("The Storage API of BigQuery has no endpoint", detail)
        else:
            channel = BigQueryReadGrpcTransport.create_channel(f"bigquerystorage.{self.universe}", self.credentials, options=_CHANNEL)
        return bigquery_storage.BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))  # type: ignore[no-untyped-call]


def account(place: Place) -> Account:
    """Asks for a token at once. Raises ScoringError for a credential that is none, or that is refused."""
    if not place.credential and _is_elsewhere():
        return Account(place.settings.dataset.rpartition(".")[0] or "project", AnonymousCredentials())  # type: ignore[no-untyped-call]
    key = _key(place)
    try:
        credentials = service_account.Credentials.from_service_account_info(key, scopes=_SCOPES)  # type: ignore[no-untyped-call]
    except (ValueError, GoogleAuthError):
        raise ScoringError("The credential is not a service account's", "The private_key of its gcpKey cannot be read.") from None
    with answers(f"The service account {key['client_email']}"):
        credentials.refresh(partial(Request(), timeout=TIMEOUT))
    return Account(key["project_id"], credentials, key.get("universe_domain", Account.universe))


def _key(place: Place) -> dict[str, str]:
    if not place.credential:
        raise ScoringError("BigQuery needs a credential", "Name one of type gcp, with the key of a service account (gcpKey).")
    try:
        key = place.credential.get("gcpKey")
        key = json.loads(key) if isinstance(key, str) else key
    except ValueError:
        key = None
    if not isinstance(key, dict):
        raise ScoringError("The credential is not a service account's", "BigQuery needs one of type gcp, whose gcpKey is the JSON of a key.")
    if missing := [name for name in _NEEDED if not isinstance(key.get(name), str)]:
        raise ScoringError("The credential is not a service account's", f"Its gcpKey lacks {', '.join(missing)}.")
    return key


def _is_elsewhere() -> bool:
    return bool(os.environ.get("BIGQUERY_EMULATOR_HOST"))


@contextmanager
def answers(what: str) -> Iterator[None]:
    """Around questions about what a message calls so. Raises ScoringError for every answer that is none."""
    try:
        yield
    except RefreshError as error:
        detail = f"{what}: {_said(error)}. Check the credential's gcpKey: the account may be gone, or the key deleted."
        raise ScoringError("BigQuery refuses the credential", detail) from error
    except exceptions.GoogleAPICallError as error:
        raise _refusal(what, error) from error
    except exceptions.RetryError as error:
        raise _refusal(what, error.cause) from error
    except (exceptions.GoogleAPIError, GoogleAuthError, OSError) as error:  # every error of the HTTP library is an OSError
        raise _silence(what) from error


def _refusal(what: str, error: Exception) -> ScoringError:
    is_nobodys = isinstance(error, exceptions.ServiceUnavailable) and error.grpc_status_code is not None  # gRPC says so of a server that is not there
    if is_nobodys or not isinstance(error, exceptions.GoogleAPICallError):
        return _silence(what)
    summary, advice = _ADVICE[next(kind for kind in type(error).__mro__ if kind in _ADVICE)]
    return ScoringError(summary, f"{what}: {_said(error)}. {advice}")


def _silence(what: str) -> Lost:
    detail = f"{what}: no answer came, or it broke off. Check the network and any proxy, then try again."
    return Lost("BigQuery cannot be reached", detail)


def _said(error: Exception) -> str:
    """Without the request, whose URL may hold the key of an upload."""
    said = error.message if isinstance(error, exceptions.GoogleAPICallError) else error.args[0] if error.args else ""
    said = re.sub(r"^[A-Z]+ https?://\S+: |(?<=\w)\?\S+", "", " ".join(str(said).split()))
    return said[:500].removesuffix(".") or type(error).__name__


def wait(job: Any, what: str, is_halted: Callable[[], bool] = lambda: False) -> None:
    """Until a job has ended, however it has. Raises ScoringError when it cannot be asked; a halt cancels it, and raises Cancelled."""
    pause = 0.1
    while job.state != "DONE":
        if is_halted():
            with answers(what):
                job.cancel(**JOB)
            raise Cancelled("The job was aborted")
        time.sleep(pause)
        pause = min(2 * pause, 1.0)
        with answers(what):
            job.reload(**JOB)
