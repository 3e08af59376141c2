"""Which addresses an option names. The rule here: `job.NAME` is every instance of the job, `job.NAME["key"]` one, anything else is refused."""

import difflib
from collections.abc import Collection, Iterable, Mapping

from reconciler.errors import Refused
from reconciler.plan.planner import Wanted


def named(option: str, names: Iterable[str], addresses: Collection[str]) -> set[str]:
    """The addresses that the option's values name. Raises Refused."""
    found: set[str] = set()
    for name in names:
        matches = {address for address in addresses if address == name or address.startswith(name + "[")}
        if not matches:
            near = difflib.get_close_matches(name, list(addresses), n=1)
            raise Refused(
                f"No job at the address {name}", f'{option} takes job.NAME or job.NAME["key"].' + (f" Did you mean {near[0]}?" if near else "")
            )
        found |= matches
    return found


def with_upstream(chosen: Collection[str], instances: Iterable[Wanted]) -> set[str]:
    """The chosen addresses and everything that they depend on."""
    depends: Mapping[str, tuple[str, ...]] = {instance.address: instance.depends_on for instance in instances}
    found: set[str] = set()
    waiting = list(chosen)
    while waiting:
        address = waiting.pop()
        if address not in found:
            found.add(address)
            waiting.extend(depends.get(address, ()))
    return found
