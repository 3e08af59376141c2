"""Objects of S3 that are encrypted within a context. The rule here: the context goes, signed, with the request that begins an object, and no other.

S3 takes `x-amz-server-side-encryption-context` with PutObject and CreateMultipartUpload, as its API reference has them. obstore has no option for it,
and would send a header of ours with every request, those that read among them. So these objects are sent by botocore.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import BotoCoreError, ClientError

from reconciler.engine.connectors.bucket import Bucket
from reconciler.engine.connectors.store import PART
from reconciler.engine.sink import Sink
from reconciler.errors import ScoringError

# Botocore's settings, without their names in its files and in the environment. What is left of each is its default, and how it is converted.
_VARIABLES = {name: (None, None, *rest) for name, (_, _, *rest) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()} | {
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
_CONNECT_S, _SILENCE_S, _TRIES = 5, 60, 4


def client(keys: Mapping[str, Any], region: str, endpoint: str) -> Any:
    """`keys` as obstore has them. Nothing is taken from the environment or from the machine's configuration."""
    session = botocore.session.Session(session_vars=_VARIABLES)
    config = Config(
        region_name=region,
        connect_timeout=_CONNECT_S,
        read_timeout=_SILENCE_S,
        retries={"total_max_attempts": _TRIES, "mode": "standard"},
        s3={"addressing_style": "path"},
        ignore_configured_endpoint_urls=True,
        request_checksum_calculation="when_required",  # not every server that speaks S3 knows them
    )
    return session.create_client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
        aws_session_token=keys["token"],
        config=config,
    )


class ContextBucket(Bucket):
    """`connect` gives a client of botocore's, and `encryption` are its parameters; the rest is as for every bucket."""

    def __init__(self, connect: Callable[[], Any], encryption: Mapping[str, str], *about: Any) -> None:
        super().__init__(*about)
        self._connect = connect
        self._encryption = encryption

    def sink(self, key: str) -> Sink:
        return ContextSink(self, self._connect(), key, self._encryption)


class ContextSink:
    """An upload in parts, one after another; what is smaller than a part is one request."""

    def __init__(self, bucket: Bucket, client: Any, key: str, encryption: Mapping[str, str]) -> None:
        self.name = bucket.url(key)
        self._bucket = bucket
        self._client = client
        self._key = key
        self._place = {"Bucket": bucket.url("").removeprefix("s3://").removesuffix("/"), "Key": key}
        self._encryption = encryption
        self._held = bytearray()
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []

    def write(self, content: bytes) -> None:
        self._held += content
        while len(self._held) > PART:
            part, self._held = bytes(self._held[:PART]), self._held[PART:]
            self._send(part)

    def finish(self) -> None:
        if self._upload is None:
            with self._asked():
                self._client.put_object(**self._place, **self._encryption, Body=bytes(self._held))
            return
        self._send(bytes(self._held))
        with self._asked():
            self._client.complete_multipart_upload(**self._place, UploadId=self._upload, MultipartUpload={"Parts": self._parts})
        self._upload = None

    def close(self) -> None:
        with suppress(ScoringError), self._asked():  # the network is gone: the store's own rules will clear it away
            if self._upload is not None:
                self._client.abort_multipart_upload(**self._place, UploadId=self._upload)
        self._upload = None
        self._client.close()

    def _send(self, part: bytes) -> None:
        number = len(self._parts) + 1
        with self._asked():
            if self._upload is None:
                self._upload = self._client.create_multipart_upload(**self._place, **self._encryption)["UploadId"]
            sent = self._client.upload_part(**self._place, UploadId=self._upload, PartNumber=number, Body=part)
        self._parts.append({"ETag": sent["ETag"], "PartNumber": number})

    @contextmanager
    def _asked(self) -> Iterator[None]:
        with self._bucket.asked("write", self._key):
            try:
                yield
            except ClientError as error:
                raise OSError(f"<Code>{error.response['Error']['Code']}</Code>") from None
            except BotoCoreError as error:
                raise OSError(f"HTTP error: {error}") from None
