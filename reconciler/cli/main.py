"""The program: commands, and the one place where errors meet the user. The rule here: no logic; options in, one call, exit code out."""

import json
import os
import sys
from collections.abc import Sequence

import click

from reconciler.cli.command import Group, option
from reconciler.errors import ReconcilerError, Stopped
from reconciler.version import VERSION
from reconciler.view.paint import paint_for

_HELP = {"help_option_names": ["-help", "-h"], "max_content_width": 110}

COMMANDS = {
    "validate": "reconciler.cli.validate:validate",
    "plan": "reconciler.cli.plan:plan",
    "apply": "reconciler.cli.apply:apply",
    "show": "reconciler.cli.show:show",
    "output": "reconciler.cli.output:output",
    "history": "reconciler.cli.history:history",
    "why": "reconciler.cli.why:why",
    "schema": "reconciler.cli.schema:schema",
    "serve": "reconciler.cli.serve:serve",
    "force-unlock": "reconciler.cli.force_unlock:force_unlock",
    "version": "reconciler.cli.version:version",
}
STATE_COMMANDS = {
    "list": "reconciler.cli.state:list_addresses",
    "show": "reconciler.cli.state:show_address",
    "adopt": "reconciler.cli.settle:adopt",
    "resubmit": "reconciler.cli.settle:resubmit",
}


@click.group(cls=Group, lazy=COMMANDS, context_settings=_HELP, subcommand_metavar="COMMAND [OPTIONS]")
@option("-chdir", metavar="DIR", help="Work in another folder: the one that holds specs/.")
@click.version_option(VERSION, "-version", message="reconciler %(version)s")
def cli(chdir: str | None) -> None:
    """Plan and apply for batch scoring.

    The specs in specs/*.yaml say which scoring jobs should exist. `plan` shows what would be scored and why; `apply` submits only what is new
    or changed, each job once, and records where every output went.

    \b
    Examples:
      reconciler validate
      reconciler plan
      reconciler apply
      reconciler plan -detailed-exitcode    # in CI: 0 nothing to do, 1 error, 2 something to do
      reconciler output job.wine

    Exit codes: 0 done, 1 error or refusal, 2 only for plan -detailed-exitcode with something to do, 130 after a second interrupt.
    """
    if chdir is not None:
        try:
            os.chdir(chdir)
        except OSError as error:
            raise click.BadParameter(f"{chdir}: {error.strerror}.", param_hint="-chdir") from None


@cli.group("state", cls=Group, lazy=STATE_COMMANDS, context_settings=_HELP)
def state() -> None:
    """Look at what the state records, and settle what is in doubt."""


def main(argv: Sequence[str] | None = None) -> None:
    """The console script. Raises SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a pipe may not know every character that a spec may hold
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(argv))


def run(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code. A bug is not caught: its traceback is what we need to see."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        code = cli.main(args, prog_name="reconciler", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except ReconcilerError as error:
        return _tell(error, args)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 1
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"Try '{error.ctx.command_path} -help'.", err=True)
        return 1
    except (KeyboardInterrupt, click.Abort):
        return _tell(Stopped("Interrupted", "Nothing that was recorded is lost; run the command again."), args)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's last flush is quiet
        return 1


def _tell(error: ReconcilerError, args: Sequence[str]) -> int:
    from reconciler.view.diagnostics import diagnostics_text  # with shutil and textwrap, which nobody else needs

    if any(arg.lstrip("-").startswith("json") and arg.startswith("-") for arg in args):
        click.echo(json.dumps({"diagnostics": [item.as_json() for item in error.diagnostics]}, ensure_ascii=False))
    no_color = any(arg.lstrip("-") == "no-color" for arg in args)
    click.echo(diagnostics_text(error.diagnostics, paint_for(sys.stderr, no_color=no_color)), err=True, nl=False, color=True)
    return error.exit_code
