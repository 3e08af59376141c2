"""Commands and options as Terraform users type them. The rule here: `-flag`, `--flag`, `-name=value` and `-name value` all work, everywhere."""

import difflib
import importlib
from collections.abc import Callable
from typing import Any

import click

_TRUE, _FALSE = ("true", "1"), ("false", "0")


class Command(click.Command):
    """A click command whose options are declared with one dash (`-auto-approve`)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _single_dashed(self, ctx, args))


class Group(click.Group):
    """A group whose commands are imported when they are called: `-help` and a plan stay fast."""

    command_class = Command

    def __init__(self, *args: Any, lazy: dict[str, str] | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, name = self.lazy[cmd_name].split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx) from None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _single_dashed(self, ctx, args, stop_at_first_argument=True))


def _single_dashed(command: click.Command, ctx: click.Context, args: list[str], *, stop_at_first_argument: bool = False) -> list[str]:
    """Bring every option to the form it is declared in; refuse unknown ones by their whole name."""
    options = {name: option for option in command.get_params(ctx) if isinstance(option, click.Option) for name in option.opts}
    done: list[str] = []
    waiting = list(args)
    while waiting:
        arg = waiting.pop(0)
        if arg == "--" or (stop_at_first_argument and not arg.startswith("-")):
            return [*done, arg, *waiting]
        if not arg.startswith("-") or arg == "-":
            done.append(arg)
            continue
        name, equals, value = ("-" + arg.lstrip("-")).partition("=")
        option = options.get(name)
        if option is None:
            raise click.NoSuchOption(name, possibilities=difflib.get_close_matches(name, options, n=3), ctx=ctx)
        if option.is_flag:
            done += _flag(name, value, ctx) if equals else [name]
        elif equals:
            done += [name, value]
        else:
            done += [name, *waiting[:1]]
            del waiting[:1]
    return done


def _flag(name: str, value: str, ctx: click.Context) -> list[str]:
    if value.lower() in _TRUE:
        return [name]
    if value.lower() in _FALSE:
        return []
    raise click.BadParameter(f"{name} takes true or false, not {value!r}.", ctx=ctx)


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option(*names: str, **settings: Any) -> Decorator:
    return click.option(*names, **settings)


def with_options(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in the order of the help."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate
