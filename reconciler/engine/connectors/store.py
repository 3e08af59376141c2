"""What an object store does for us, whichever it is. The rule here: everything that goes wrong is a ScoringError, without a secret."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from reconciler.engine.sink import Sink
from reconciler.errors import ScoringError

# An upload goes in parts of so many bytes. S3 takes 10,000 of them, so an object has 156 GB at the most.
PART = 16 << 20
# So much of each kind is kept for whoever asks next: a client and its connections, or a token, takes longer to be had than an object to be looked at.
SHARED = 32


@dataclass(frozen=True)
class Object:
    """`version` pins it while it is read. `facts` tell one content of it from another, in plain JSON."""

    key: str
    size: int
    version: str
    facts: Mapping[str, Any]


class Store(Protocol):
    """A bucket, or a container. Every method raises ScoringError, and may be called in several threads at once."""

    def url(self, key: str) -> str:
        """As a message names it."""

    def find(self, key: str) -> Object: ...

    def list(self, prefix: str) -> Iterable[Object]:
        """Whatever is under a prefix that is empty or ends in `/`."""

    def stream(self, found: Object) -> Iterator[bytes]:
        """From the beginning to the end, in blocks of a few MB."""

    def read(self, found: Object, start: int, stop: int) -> bytes:
        """0 <= start < stop <= size."""

    def check(self, key: str) -> None:
        """Find out what can be found out without writing: that the store is there, has the bucket, and knows the credential."""

    def sink(self, key: str) -> Sink:
        """An upload in parts of PART bytes. Without a `finish`, what was sent is removed, and what was there before stays."""

    def remove(self, keys: Sequence[str]) -> None: ...


class Located(NamedTuple):
    """`key` names an object, or ends in `/`; all of a bucket is `/`."""

    store: Store
    key: str


@dataclass(frozen=True)
class System:
    """What a message has to know of a store. `permissions` are named by what is asked for: read, list, write, remove."""

    name: str
    bucket: str
    permissions: Mapping[str, str]


class Trouble(NamedTuple):
    summary: str
    advice: str
    kind: type[ScoringError] = ScoringError

    def error(self, where: str) -> ScoringError:
        return self.kind(self.summary, f"{where}: {self.advice}")
