"""How an apply ended, as text. The rule here: there is always a tally, and every output is named in full."""

from collections import Counter
from collections.abc import Sequence

from reconciler.apply.event import BAD, Ended
from reconciler.view.paint import Paint, shown


def tally_text(ended: Sequence[Ended], unchanged: int, paint: Paint) -> str:
    counts = Counter(item.outcome for item in ended)
    unchanged += counts["unchanged"]
    bad = sum(counts[outcome] for outcome in BAD)
    numbers = [f"{counts['scored']} scored"]
    numbers += [f"{counts[name]} {name}" for name in ("updated", "forgotten") if counts[name]]
    numbers += [f"{counts['failed']} failed"] + [f"{counts[name]} {name}" for name in ("skipped", "detached") if counts[name]]
    numbers.append(f"{unchanged} unchanged")
    head = paint("Apply incomplete:", "bold red") if bad else paint("Apply complete!", "bold green")
    return f"\n{head} {', '.join(numbers)}.\n{_outputs(ended, paint)}"


def _outputs(ended: Sequence[Ended], paint: Paint) -> str:
    delivered = sorted((item.address, item.output) for item in ended if item.outcome == "scored" and item.output)
    if not delivered:
        return ""
    width = max(len(address) for address, _ in delivered)
    lines = [f"  {shown(address).ljust(width)} = {shown(output)}\n" for address, output in delivered]
    return f"\n{paint('Outputs:', 'bold')}\n\n{''.join(lines)}"
