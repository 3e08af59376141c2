"""What the commands that write share. The rule here: they hold the lock of the state while they write, and say for how long they wait for it."""

from typing import Any

import click

from reconciler.cli.command import Decorator, option, with_options


class Duration(click.ParamType[float]):
    """A click type: `30s` in, seconds out."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        from reconciler.duration import seconds

        try:
            return seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


lock_options: Decorator = with_options(
    option(
        "-lock-timeout",
        type=Duration(),
        default="0s",
        show_default=True,
        metavar="DURATION",
        help="How long to wait for another command that writes to the state.",
    ),
)
