"""Google Cloud Storage. The rule here: an object is read in the generation it was found in.

Credentials: `gcp` (gcpKey, the JSON of a service account, with its own token_uri and universe_domain); without one, as a public bucket wants it.
Urls: `gs://bucket/key`, `https://storage.googleapis.com/bucket/key`; a url with another host says where the service is (a private endpoint, an
emulator), as does STORAGE_EMULATOR_HOST for `gs://`, which Google's own clients honour as well.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import requests
from google.api_core.exceptions import GoogleAPICallError, NotFound, RetryError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from google.oauth2.service_account import Credentials

from reconciler.engine.connectors.objects import Objects
from reconciler.engine.connectors.store import PART, SHARED, Located, Object, System, Trouble
from reconciler.engine.place import Place
from reconciler.errors import Absent, ScoringError, Unreachable

_SYSTEM = System(
    "Google Cloud Storage",
    "bucket",
    {
        "read": "storage.objects.get",
        "list": "storage.objects.list",
        "write": "storage.objects.create, and storage.objects.delete to overwrite",
        "remove": "storage.objects.delete",
    },
)
_ENDPOINT = "https://storage.googleapis.com"
_HOSTS = {"storage.googleapis.com", "storage.cloud.google.com"}
_SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write"]

# Seconds to connect and to wait for an answer: an endpoint that is not there is given up in half a minute at the most.
_PATIENCE = (5, 15)
_PART_PATIENCE = (5, 120)
_RETRY = DEFAULT_RETRY.with_timeout(8).with_delay(initial=0.2, maximum=3)
_BLOCK = 8 << 20

_ERRORS = (GoogleAPICallError, RetryError, GoogleAuthError, InvalidResponse, DataCorruption, requests.RequestException, OSError, ValueError)
_CHANGED = Trouble("The intake changed while it was read", "Score it again when nobody writes to it.")
_TROUBLES: Mapping[int, Trouble] = {
    401: Trouble("The credential is refused", "The service account's key is not known there, or no longer. Correct the credential."),
    412: _CHANGED,
    429: Trouble("The store is busy", "It asks to be left alone for a while. Score it again later."),
}


class Url(NamedTuple):
    """`endpoint` is None where Google's own client decides."""

    endpoint: str | None
    bucket: str
    key: str


def parsed(text: str) -> Url:
    """Raises ScoringError."""
    if text.startswith("gs://"):
        bucket, slash, key = text.removeprefix("gs://").partition("/")
        url = Url(None, bucket, key or slash)
    else:
        address = urlsplit(text)
        if address.query or address.fragment or address.username or address.password:
            raise ScoringError("The url holds more than a place", "A url must not hold a signature. Name the object, and a credential.")
        host, path = address.netloc, address.path.lstrip("/")
        own_host = host.removesuffix(".storage.googleapis.com")
        if own_host != host:
            path = f"{own_host}/{path}"
        bucket, slash, key = path.partition("/")
        is_googles = own_host != host or host in _HOSTS
        url = Url(None if is_googles else f"{address.scheme}://{host}", unquote(bucket), unquote(key) or slash)
    if not url.bucket or not url.key:
        raise ScoringError("The url names no object", f"{text} has to name a bucket and an object: gs://bucket/object.")
    return url


def client(place: Place, endpoint: str | None = None) -> Any:
    """Google's client with the credential of a place. Raises ScoringError."""
    options: dict[str, Any] = {"api_endpoint": endpoint} if endpoint else {}
    credential = place.credential
    if not credential:
        return storage.Client(project=None, credentials=AnonymousCredentials(), client_options=options)  # type: ignore[no-untyped-call]
    key = credential.get("gcpKey")
    if key is None:
        kind = credential.get("credentialType")
        raise ScoringError("The credential does not fit", f"{place.type} needs a credential of the type gcp with its gcpKey; this one is {kind}.")
    try:
        info = dict(json.loads(key) if isinstance(key, str) else key)
        credentials = _account(json.dumps(info))
    except (ValueError, TypeError, GoogleAuthError):
        detail = "The gcpKey is not the JSON of a service account's key: it needs client_email, token_uri and private_key, unchanged."
        raise ScoringError("The credential is refused", detail) from None
    if domain := info.get("universe_domain"):
        options["universe_domain"] = domain
    return storage.Client(project=info.get("project_id"), credentials=credentials, client_options=options)


@lru_cache(maxsize=SHARED)
def _account(key: str) -> Any:
    """Which has asked for a token, the next time."""
    return Credentials.from_service_account_info(json.loads(key), scopes=_SCOPES)  # type: ignore[no-untyped-call]


class GoogleBucket:
    def __init__(self, client: Any, name: str, is_known: bool = True) -> None:
        self._bucket = client.bucket(name)
        self._root = f"gs://{name}/"
        self._is_known = is_known
        self._endpoint = client.api_endpoint

    def url(self, key: str) -> str:
        return f"{self._root}{key.removeprefix('/')}"

    def find(self, key: str) -> Object:
        with self.asked("read", key):
            blob = self._bucket.get_blob(key, timeout=_PATIENCE, retry=_RETRY)
            if blob is None:
                raise NotFound("")  # type: ignore[no-untyped-call]
            return _object(blob)

    def list(self, prefix: str) -> Iterator[Object]:
        with self.asked("list", prefix):
            for blob in self._bucket.list_blobs(prefix=prefix, timeout=_PATIENCE, retry=_RETRY):
                if not blob.name.endswith("/"):  # a folder that somebody made by hand
                    yield _object(blob)

    def stream(self, found: Object) -> Iterator[bytes]:
        for start in range(0, found.size, _BLOCK):
            yield self.read(found, start, min(start + _BLOCK, found.size))

    def read(self, found: Object, start: int, stop: int) -> bytes:
        with self.asked("read", found.key, missing=_CHANGED):
            blob = self._bucket.blob(found.key, generation=int(found.version))
            return bytes(blob.download_as_bytes(start=start, end=stop - 1, raw_download=True, timeout=_PATIENCE, retry=_RETRY))

    def check(self, key: str) -> None:
        with self.asked("write", key):
            try:
                if self._bucket.get_blob(key, timeout=_PATIENCE, retry=_RETRY) is None:
                    self._look_for_bucket()
            except GoogleAPICallError as error:
                if error.code != 403:  # it may be allowed to write and not to read
                    raise

    def sink(self, key: str) -> "GoogleSink":
        return GoogleSink(self, self._bucket.blob(key, chunk_size=PART), key)

    def remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            with self.asked("remove", key), suppress(NotFound):
                self._bucket.blob(key).delete(timeout=_PATIENCE, retry=_RETRY)

    @contextmanager
    def asked(self, action: str, key: str, missing: Trouble | None = None) -> Iterator[None]:
        """What the library raises becomes a ScoringError without it: neither its message nor itself, which a traceback would show."""
        try:
            yield
            return
        except _ERRORS as error:
            trouble = self._trouble(action, error, missing)
        raise trouble.error(self.url(key)) from None

    def _trouble(self, action: str, error: Exception, missing: Trouble | None) -> Trouble:
        cause = error.cause if isinstance(error, RetryError) and error.cause else error
        status: Any = getattr(cause, "code", None) or getattr(getattr(cause, "response", None), "status_code", None)
        if status == 404:
            return missing or self._missing()
        if (status in (401, 403) or isinstance(cause, GoogleAuthError)) and not self._is_known:
            return Trouble("Access is denied", "The bucket is not public, and no credential is named. Name one.")
        if status == 403:
            return Trouble("Access is denied", f"The credential needs the permission to {action} it: {_SYSTEM.permissions[action]}.")
        if status in _TROUBLES:
            return _TROUBLES[status]
        if isinstance(cause, RefreshError):
            detail = (
                "Google gives no token for the gcpKey: it was removed, or belongs to nobody. Correct the credential, and the clock of this machine."
            )
            return Trouble("The credential is refused", detail)
        if isinstance(status, int):
            return Trouble(f"{_SYSTEM.name} refuses", f"It answered {status} when it was asked to {action} this.")
        return Trouble(f"{_SYSTEM.name} cannot be reached", f"{self._endpoint}: {_how(cause)}. Check the network and the endpoint.", Unreachable)

    def _missing(self) -> Trouble:
        """The same answer says both, so it is asked again for what it is that is not there."""
        try:
            self._look_for_bucket()
        except NotFound:
            return Trouble("The bucket does not exist", f"{_SYSTEM.name} has no such bucket. Correct the url.", Absent)
        except _ERRORS:
            return Trouble("The object does not exist", "There is no such object or no such bucket. Correct the url.", Absent)
        return Trouble("The object does not exist", "Correct the url.", Absent)

    def _look_for_bucket(self) -> None:
        next(iter(self._bucket.list_blobs(max_results=1, timeout=_PATIENCE, retry=_RETRY)), None)


class GoogleSink:
    """A resumable upload, whose last part shows the object."""

    def __init__(self, bucket: GoogleBucket, blob: Any, key: str) -> None:
        self.name = bucket.url(key)
        self._asked: Callable[[], Any] = lambda: bucket.asked("write", key)
        self._writer = blob.open("wb", ignore_flush=True, timeout=_PART_PATIENCE, retry=_RETRY)
        self._is_open = True

    def write(self, content: bytes) -> None:
        with self._asked():
            self._writer.write(content)

    def finish(self) -> None:
        with self._asked():
            self._writer.close()
        self._is_open = False

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            # Python closes a file that nobody holds any longer, and that would end the upload and show it.
            self._writer.close = lambda: None
            with suppress(*_ERRORS):  # the network is gone: Google forgets an upload after a week
                self._writer.terminate()


def _object(blob: Any) -> Object:
    facts = {"generation": blob.generation, "metageneration": blob.metageneration}
    return Object(blob.name, blob.size, str(blob.generation), facts)


def _how(cause: BaseException) -> str:
    if isinstance(cause, requests.Timeout):
        return "it does not answer in time"
    if isinstance(cause, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    said = str(cause)
    ours = {"NameResolutionError": "its name is not known", "Connection refused": "nobody listens there"}
    return next((ours[theirs] for theirs in ours if theirs in said), "the connection failed")


def locate(place: Place) -> Located:
    url = parsed(place.settings.url)
    return Located(GoogleBucket(client(place, url.endpoint), url.bucket, bool(place.credential)), url.key)


_room = Objects(locate)
look, open_intake, open_sink = _room.look, _room.open_intake, _room.open_sink
open_output, settle, discard = _room.open_output, _room.settle, _room.discard
