"""A bucket of S3 or a container of Azure, through obstore. The rule here: what its library says is never repeated, for it may hold a secret."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property, partial
from typing import Any

import obstore
from obstore.exceptions import BaseError, InvalidPathError

from reconciler.engine.connectors.store import PART, Object, System, Trouble
from reconciler.engine.sink import Sink
from reconciler.errors import Absent, ScoringError, Unreachable

# An endpoint that is not there is given up in half a minute at the most. A read ends when nothing has come for so long, a part of an upload
# when it has taken so long as a whole.
_SILENCE, _PART_TIME = timedelta(seconds=15), timedelta(minutes=2)
_RETRIES = {
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=3), "base": 2},
}
_CONNECT = timedelta(seconds=5)
_NEVER = timedelta(days=30)

_BLOCK = 2 << 20
_PARTS_AT_ONCE = 2


_REFUSED = "The credential is refused"
_NO_OBJECT = Trouble("The object does not exist", "Correct the url.", Absent)
_TROUBLES: Mapping[str, Trouble] = {
    "NoSuchKey": _NO_OBJECT,
    "BlobNotFound": _NO_OBJECT,
    "InvalidAccessKeyId": Trouble(_REFUSED, "The awsAccessKeyId is not known there. Correct the credential."),
    "SignatureDoesNotMatch": Trouble(_REFUSED, "The awsSecretAccessKey is not the one of the awsAccessKeyId. Correct the credential."),
    "ExpiredToken": Trouble(_REFUSED, "The awsSessionToken has expired. Get a new one."),
    "InvalidToken": Trouble(_REFUSED, "The awsSessionToken is not valid, or belongs to other keys. Correct the credential."),
    "RequestTimeTooSkewed": Trouble(_REFUSED, "The clock of this machine is wrong. Set it."),
    "AuthorizationHeaderMalformed": Trouble(_REFUSED, "The request was signed for another region. Set AWS_REGION to the bucket's."),
    "PermanentRedirect": Trouble("The bucket is in another region", "Set AWS_REGION to the bucket's region."),
    "AuthenticationFailed": Trouble(_REFUSED, "The account key or the shared access signature is wrong, or has expired. Correct the credential."),
    "AuthorizationFailure": Trouble(_REFUSED, "The account key or the signature is wrong or has expired, or the account's firewall keeps us out."),
    "PreconditionFailed": Trouble("The intake changed while it was read", "Score it again when nobody writes to it."),
    "ConditionNotMet": Trouble("The intake changed while it was read", "Score it again when nobody writes to it."),
    "SlowDown": Trouble("The store is busy", "It asks to be left alone for a while. Score it again later."),
    "EntityTooLarge": Trouble("The output is too large", "The store takes no object of this size."),
}
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName", "InvalidResourceName"}
_DENIED = {
    "AccessDenied",
    "AuthorizationPermissionMismatch",
    "AuthorizationResourceTypeMismatch",
    "AuthorizationServiceMismatch",
    "AllAccessDisabled",
}
# What a probe of an output may meet, and there is nothing wrong with it: it may not be there yet, be empty, or be for others to read.
_HARMLESS = {"NoSuchKey", "BlobNotFound", "404", "403", "416", "InvalidRange"} | _DENIED

_NO_ANSWER, _NO_TOKEN = "HTTP error", "Error performing token request"
# What the error of a connection says somewhere, and what we say of it.
_NETWORK = {
    "dns error": "its name is not known",
    "failed to lookup address": "its name is not known",
    "Connection refused": "nobody listens there",
    "certificate": "its certificate is not trusted",
    "InvalidCertificate": "its certificate is not trusted",
    "operation timed out": "it does not answer in time",
    "TimedOut": "it does not answer in time",
    "Connection reset": "the connection was cut",
    "IncompleteMessage": "the connection was cut",
    "IncompleteBody": "the connection was cut",
    "end of file": "the connection was cut",
    "UnexpectedEof": "the connection was cut",
}


class Bucket:
    def __init__(self, make: Callable[..., Any], root: str, endpoint: str, system: System, is_known: bool = True) -> None:
        """`make` makes obstore's store, given options for its client and its retries. `root` begins the names of objects in messages.

        `endpoint` is where it is, without secrets; it may be an http one only because the user wrote one. `is_known`: with a credential.
        """
        self._make = make
        self._root = root
        self._endpoint = endpoint
        self._system = system
        self._is_known = is_known

    # Each takes 10 ms to be made, and whoever only looks or reads needs but one.
    @cached_property
    def _reading(self) -> Any:
        return self._made({"timeout": _NEVER, "read_timeout": _SILENCE})

    @cached_property
    def _writing(self) -> Any:
        return self._made({"timeout": _PART_TIME})

    def url(self, key: str) -> str:
        return f"{self._root}{'' if key == '/' else key}"

    def find(self, key: str) -> Object:
        with self.asked("read", key):
            try:
                return _object(obstore.head(self._reading, key))
            except (BaseError, OSError) as error:
                if not _code(str(error)):
                    raise
                # The answer to a HEAD has no body that says why; that to a GET has.
                return _object(obstore.get(self._reading, key, options={"range": (0, 1)}).meta)

    def list(self, prefix: str) -> Iterator[Object]:
        with self.asked("list", prefix):
            for some in obstore.list(self._reading, prefix or None, chunk_size=1000):
                yield from map(_object, some)

    def stream(self, found: Object) -> Iterator[bytes]:
        with self.asked("read", found.key):
            yield from obstore.get(self._reading, found.key, options=_pinned(found)).stream(_BLOCK)

    def read(self, found: Object, start: int, stop: int) -> bytes:
        with self.asked("read", found.key):
            return bytes(obstore.get(self._reading, found.key, options=_pinned(found, range=(start, stop))).bytes())

    def check(self, key: str) -> None:
        with self.asked("write", key):
            try:
                obstore.get(self._reading, key, options={"range": (0, 1)})
            except (BaseError, OSError) as error:
                if _code(str(error)) not in _HARMLESS:
                    raise

    def sink(self, key: str) -> Sink:
        return ObjectSink(self, self._writing, key)

    def remove(self, keys: Sequence[str]) -> None:
        if keys:
            with self.asked("remove", keys[0]), suppress(FileNotFoundError):
                obstore.delete(self._writing, list(keys))

    def _made(self, options: Mapping[str, Any]) -> Any:
        client = {"allow_http": self._endpoint.startswith("http://"), "connect_timeout": _CONNECT, **options}
        with self.asked("read", "/"):
            return self._make(client_options=client, retry_config=_RETRIES)

    @contextmanager
    def asked(self, action: str, key: str) -> Iterator[None]:
        """What the library raises becomes a ScoringError without it: neither its message nor itself, which a traceback would show."""
        try:
            if key.startswith("/") and key != "/":
                raise ValueError("the library leaves the slash out")
            yield
        except (ValueError, InvalidPathError) as error:
            if found := re.search(r'Path "([^"]*)"', str(error)):
                key = found[1]  # of a folder, the object that spoils it
            trouble = Trouble("The key cannot be used", "A key with an empty part (//), . or .. as a part, or a control character is not supported.")
        except (BaseError, OSError) as error:
            trouble = self._trouble(action, str(error))
        else:
            return
        raise trouble.error(self.url(key)) from None

    def _trouble(self, action: str, said: str) -> Trouble:
        code, system = _code(said), self._system
        if code and _NO_TOKEN in said:
            return Trouble(_REFUSED, "No token is given for its clientSecret. Correct clientId, clientSecret and azureTenantId.")
        if code in _NO_BUCKET:
            advice = f"{system.name} at {self._endpoint} has no such {system.bucket}. Correct the url."
            return Trouble(f"The {system.bucket} does not exist", advice, Absent)
        if (code in _DENIED or code == "403") and not self._is_known:
            return Trouble("Access is denied", f"The {system.bucket} is not public, and no credential is named. Name one.")
        if code in _DENIED or code == "403":
            return Trouble("Access is denied", f"The credential needs the permission to {action} it: {system.permissions[action]}.")
        if code == "404":
            return Trouble("The object does not exist", f"There is no such object or no such {system.bucket}. Correct the url.", Absent)
        if code in _TROUBLES:
            return _TROUBLES[code]
        if code:
            return Trouble(f"{system.name} refuses", f"It answered {code} when it was asked to {action} this.")
        if _NO_ANSWER not in said:
            return Trouble(f"{system.name} is not understood", f"{self._endpoint} answers in a way of its own. Check that it is the endpoint.")
        how = next((ours for theirs, ours in _NETWORK.items() if theirs in said), "the connection failed")
        return Trouble(f"{system.name} cannot be reached", f"{self._endpoint}: {how}. Check the network and the endpoint.", Unreachable)


class ObjectSink:
    """An upload in parts. The object is there when `finish` returns; otherwise what it has sent is removed, and what was there before stays."""

    def __init__(self, bucket: Bucket, store: Any, key: str) -> None:
        self.name = bucket.url(key)
        self._asked = partial(bucket.asked, "write", key)
        self._writer: Any = obstore.open_writer(store, key, buffer_size=PART, max_concurrency=_PARTS_AT_ONCE)
        self._is_open = True

    def write(self, content: bytes) -> None:
        with self._asked():
            self._writer.write(content)

    def finish(self) -> None:
        self._is_open = False
        with self._asked():
            self._writer.close()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            with suppress(BaseError, OSError):  # the network is gone: the store's own rules will clear it away
                self._writer.__exit__(ScoringError, None, None)


def _pinned(found: Object, **options: Any) -> Any:
    """Options for a GET that reads what was found, or fails."""
    return options | ({"if_match": found.version} if found.version else {})


def _object(meta: Mapping[str, Any]) -> Object:
    """S3's version id says all; equal bytes have an equal etag there, so it is not enough without the time."""
    tag = (meta["e_tag"] or "").strip('"')  # Azure quotes it in some answers and not in others
    modified = meta["last_modified"].isoformat()
    facts = {"version": meta["version"]} if meta["version"] else {"etag": tag, "size": meta["size"], "modified": modified}
    return Object(meta["path"], meta["size"], tag and f'"{tag}"', facts)


def _code(said: str) -> str:
    """The store's own word for what is wrong, or the status of its answer; empty when there was none."""
    found = re.search(r"<Code>\s*(\w+)\s*</Code>", said) or re.search(r"status code: (\d{3})", said)
    return found[1] if found else ""
