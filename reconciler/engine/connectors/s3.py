"""S3, and whatever speaks its protocol. The rule here: only what the job says is used, whatever else the environment holds.

Credentials: `s3` (awsAccessKeyId, awsSecretAccessKey, awsSessionToken); without one, requests are not signed, as a public bucket wants it.
The region is AWS_REGION, or the one that AWS says the bucket is in; other servers that speak the protocol hardly ever ask for one.
"""

import base64
import binascii
import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote

from obstore.store import S3Store

from reconciler.engine.connectors.bucket import Bucket
from reconciler.engine.connectors.objects import Objects
from reconciler.engine.connectors.store import SHARED, Located, System
from reconciler.engine.packages import engine_packages
from reconciler.engine.place import Place
from reconciler.errors import ScoringError
from reconciler.settings import ServerSideEncryption

AWS = "https://s3.amazonaws.com"
_KMS = ("aws:kms", "aws:kms:dsse")
# What obstore takes from the environment, and no option can overrule: this process does without.
# A customer's key is nothing without the first of them, and stays: a job may name the variable that holds it.
_BENDING = ("AWS_SERVER_SIDE_ENCRYPTION", "AWS_SSE_KMS_KEY_ID", "AWS_SSE_BUCKET_KEY_ENABLED")
# And what an option of ours has to overrule: how we name a bucket, who pays, and what is signed.
_OURS: dict[str, Any] = {"virtual_hosted_style_request": False, "s3_express": False, "request_payer": False, "unsigned_payload": False}
_DEFAULT_REGION = "us-east-1"
_SYSTEM = System("S3", "bucket", {"read": "s3:GetObject", "list": "s3:ListBucket", "write": "s3:PutObject", "remove": "s3:DeleteObject"})


def locate(place: Place) -> Located:
    settings = place.settings
    bucket, _, key = settings.url.removeprefix("s3://").partition("/")
    endpoint = settings.endpoint_url and settings.endpoint_url.rstrip("/")
    wanted: ServerSideEncryption | None = getattr(settings, "server_side_encryption", None)
    keys = _keys(place)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or (_DEFAULT_REGION if endpoint else bucket_region(bucket))
    signing = None if keys is None else tuple(keys.items())
    at = endpoint or f"https://s3.{region}.amazonaws.com"
    # Of all options that say where it is, the one that overrules the others.
    options = {**_encryption(wanted), "aws_endpoint_url_s3": at, "region": region}
    for name in _BENDING:
        os.environ.pop(name, None)
    if wanted and wanted.kms_encryption_context:
        if not keys:
            raise _unsupported("kmsEncryptionContext needs a credential. Name one")
        with engine_packages("aws"):
            from reconciler.engine.connectors.s3_context import ContextBucket, client
        about = _about(bucket, signing, **options)
        return Located(ContextBucket(partial(client, keys, region, at), _in_context(wanted), *about), key or "/")
    return Located(_bucket(bucket, signing, **options), key or "/")


@lru_cache(maxsize=SHARED)
def _bucket(name: str, keys: tuple[tuple[str, Any], ...] | None, **options: Any) -> Bucket:
    return Bucket(*_about(name, keys, **options))


def _about(name: str, keys: tuple[tuple[str, Any], ...] | None, **options: Any) -> tuple[Callable[..., Any], str, str, System, bool]:
    """What a Bucket is made of."""
    # Not as options: what they leave out, a session token, would be taken from the environment.
    signing: dict[str, Any] = {"skip_signature": False, "credential_provider": lambda: dict(keys)} if keys else {"skip_signature": True}
    make = partial(S3Store, name, **_OURS, **signing, **options)
    return make, f"s3://{name}/", options["aws_endpoint_url_s3"], _SYSTEM, bool(keys)


def _keys(place: Place) -> dict[str, Any] | None:
    """What requests are signed with."""
    credential = place.credential
    if not credential:
        return None
    if "awsAccessKeyId" not in credential or "awsSecretAccessKey" not in credential:
        kind = credential.get("credentialType")
        detail = (
            f"{place.settings.url} needs a credential of the type s3 with awsAccessKeyId and awsSecretAccessKey; the one named is of the type {kind}."
        )
        raise ScoringError("The credential does not fit", detail)
    return {
        "access_key_id": credential["awsAccessKeyId"],
        "secret_access_key": credential["awsSecretAccessKey"],
        "token": credential.get("awsSessionToken"),
        "expires_at": None,
    }


def _encryption(wanted: ServerSideEncryption | None) -> dict[str, str]:
    """Raises ScoringError for what cannot be passed on."""
    if wanted is None:
        return {}
    if wanted.kms_encryption_context and wanted.algorithm not in _KMS:
        raise _unsupported("kmsEncryptionContext belongs to the algorithm aws:kms")
    if wanted.customer_key or wanted.customer_algorithm:
        return _customer_key(wanted)
    if wanted.algorithm not in ("AES256", *_KMS):
        raise _unsupported(f"the algorithm is {wanted.algorithm}; S3 has AES256, aws:kms and aws:kms:dsse")
    if wanted.kms_key_id and wanted.algorithm == "AES256":
        raise _unsupported("kmsKeyId belongs to the algorithm aws:kms, not to AES256")
    key = {"sse_kms_key_id": wanted.kms_key_id} if wanted.kms_key_id else {}
    return {"server_side_encryption": wanted.algorithm, **key}


def _in_context(wanted: ServerSideEncryption) -> dict[str, str]:
    """As botocore has it. Raises ScoringError for a context that is not the base64 of a JSON object of texts, as S3 wants it."""
    context = wanted.kms_encryption_context or ""
    try:
        said = json.loads(base64.b64decode(context, validate=True))
    except ValueError:
        said = None
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise _unsupported("kmsEncryptionContext has to be the base64 of a JSON object whose values are texts, as S3's own header has it")
    key = {"SSEKMSKeyId": wanted.kms_key_id} if wanted.kms_key_id else {}
    return {"ServerSideEncryption": wanted.algorithm or "", "SSEKMSEncryptionContext": context, **key}


def _customer_key(wanted: ServerSideEncryption) -> dict[str, str]:
    if wanted.algorithm or wanted.kms_key_id:
        raise _unsupported("a key of the customer's excludes algorithm and kmsKeyId")
    if (wanted.customer_algorithm or "AES256") != "AES256":
        raise _unsupported("customerAlgorithm has to be AES256")
    try:
        size = len(base64.b64decode(wanted.customer_key or "", validate=True))
    except binascii.Error:
        size = 0
    if size != 32 or wanted.customer_key is None:
        raise _unsupported("customerKey has to be the base64 of 32 bytes, as S3's own header has it")
    return {"server_side_encryption": "sse-c", "sse_customer_key_base64": wanted.customer_key}


def _unsupported(why: str) -> ScoringError:
    return ScoringError("The output cannot be encrypted so", f"serverSideEncryption: {why}.")


def bucket_region(bucket: str, endpoint: str = AWS) -> str:
    """AWS tells it to everybody, with any answer. Where it cannot be asked, the request that comes next says why."""
    try:
        return _told_region(bucket, endpoint)
    except (OSError, ValueError, http.client.HTTPException):
        return _DEFAULT_REGION


@lru_cache(maxsize=SHARED)
def _told_region(bucket: str, endpoint: str) -> str:
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{quote(bucket)}", method="HEAD"), timeout=5) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        with error:
            headers = error.headers
    region = str(headers.get("x-amz-bucket-region", ""))
    return region if re.fullmatch(r"[a-z0-9-]+", region) else _DEFAULT_REGION


_room = Objects(locate)
look, open_intake, open_sink = _room.look, _room.open_intake, _room.open_sink
open_output, settle, discard = _room.open_output, _room.settle, _room.discard
