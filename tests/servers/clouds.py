"""The object stores, for tests that hold for all of them. The rule here: whatever a test puts or sees goes by the store's own client, not by ours."""

import traceback
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from servers.azurite import Azurite
from servers.gcs import Gcs
from servers.seaweed import Seaweed
from servers.wire import Wire

from reconciler.engine.place import Place
from reconciler.errors import ScoringError
from reconciler.settings import INTAKES, OUTPUTS


@dataclass(frozen=True)
class Cloud:
    """A bucket of a store. `root` is its url, with a slash at its end."""

    type: str
    server: str
    root: str
    put: Callable[[str, bytes], Any]
    get: Callable[[str], bytes]
    listed: Callable[[], list[str]]
    remove: Callable[[str], Any]
    credential: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def through(self, wire: Wire) -> "Cloud":
        """The same bucket, for our own client, behind a wire."""
        ours, theirs = wire.netloc, self.server.removeprefix("http://").partition("/")[0]

        def moved(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value.replace(theirs, ours) for name, value in values.items()}

        return replace(self, root=self.root.replace(theirs, ours), credential=moved(self.credential), settings=moved(self.settings))

    def url(self, key: str) -> str:
        """An http url is encoded as every other; `s3://` and `gs://` have the key as it is."""
        return self.root + (urllib.parse.quote(key) if self.root.startswith("http") else key)

    def intake(self, key: str, credential: Mapping[str, Any] | None = None, **settings: Any) -> Place:
        return self._place(INTAKES, key, credential, settings)

    def output(self, key: str, credential: Mapping[str, Any] | None = None, **settings: Any) -> Place:
        return self._place(OUTPUTS, key, credential, settings)

    def _place(self, kinds: Mapping[str, Any], key: str, credential: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> Place:
        wire = {"type": self.type, "url": self.url(key), **self.settings, **settings}
        return Place(kinds[self.type].model_validate(wire), self.credential if credential is None else credential, job="65f0c0ffee65f0c0ffee65f0")


def s3_cloud(server: Seaweed, bucket: str) -> Cloud:
    return _obstore_cloud("s3", server.url, f"s3://{bucket}/", server.bucket(bucket), server.credential, {"endpointUrl": server.url})


def azure_cloud(server: Azurite, bucket: str) -> Cloud:
    return _obstore_cloud("azure", server.url, f"{server.url}/{bucket}/", server.bucket(bucket), server.credential, {})


def gcp_cloud(server: Gcs, bucket: str) -> Cloud:
    made = server.bucket(bucket)
    return Cloud(
        "gcp",
        server.url,
        f"{server.url}/{bucket}/",
        lambda key, content: made.blob(key).upload_from_string(content),
        lambda key: bytes(made.blob(key).download_as_bytes()),
        lambda: sorted(blob.name for blob in made.list_blobs()),
        lambda key: made.blob(key).delete(),
    )


def _obstore_cloud(type: str, server: str, root: str, store: Any, credential: Mapping[str, Any], settings: Mapping[str, Any]) -> Cloud:
    import obstore

    return Cloud(
        type,
        server,
        root,
        lambda key, content: obstore.put(store, key, content),
        lambda key: bytes(obstore.get(store, key).bytes()),
        lambda: sorted(each["path"] for some in obstore.list(store) for each in some),
        lambda key: obstore.delete(store, key),
        credential,
        settings,
    )


def told(error: ScoringError, *secrets: str) -> str:
    """All that anybody is told by it, in which none of these secrets may be."""
    everything = f"{error.summary}. {error.detail}"
    shown = "".join(traceback.format_exception(error)) + everything
    assert not [secret for secret in secrets if secret in shown]
    return everything
