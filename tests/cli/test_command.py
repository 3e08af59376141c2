"""Commands and options as Terraform users type them, on a little program; then the help of every command of ours."""

import json
from collections.abc import Iterator, Sequence
from importlib import import_module

import click
import pytest

from reconciler.cli.command import Command, Group, option, with_options
from reconciler.cli.main import COMMANDS, STATE_COMMANDS, cli, run


@click.group(cls=Group)
@option("-chdir", metavar="DIR")
def program(chdir: str | None) -> None: ...


@program.command()
@click.argument("names", nargs=-1)
@option("-target", multiple=True)
@option("-parallelism", type=int, default=10)
@option("-auto-approve", is_flag=True)
@option("-json", "as_json", is_flag=True)
def plan(**given: object) -> dict[str, object]:
    return given


def called(*args: str) -> dict[str, object]:
    """What the command was given, without what was left at its default."""
    defaults = {"names": (), "target": (), "parallelism": 10, "auto_approve": False, "as_json": False}
    given = program.main(list(args), standalone_mode=False)
    return {name: value for name, value in given.items() if value != defaults[name]}


@pytest.mark.parametrize(
    ("args", "given"),
    [
        pytest.param(["-auto-approve"], {"auto_approve": True}, id="flag-with-one-dash"),
        pytest.param(["--auto-approve"], {"auto_approve": True}, id="flag-with-two"),
        pytest.param(["-auto-approve=true"], {"auto_approve": True}, id="flag-is-true"),
        pytest.param(["-auto-approve=True"], {"auto_approve": True}, id="flag-is-true-in-capitals"),
        pytest.param(["--auto-approve=1"], {"auto_approve": True}, id="flag-is-1"),
        pytest.param(["-auto-approve=false"], {}, id="flag-is-false"),
        pytest.param(["--auto-approve=0"], {}, id="flag-is-0"),
        pytest.param(["-auto-approve", "x"], {"auto_approve": True, "names": ("x",)}, id="flag-takes-no-value-after-a-space"),
        pytest.param(["-parallelism=4"], {"parallelism": 4}, id="value-after-an-equals-sign"),
        pytest.param(["--parallelism=4"], {"parallelism": 4}, id="value-after-an-equals-sign-and-two-dashes"),
        pytest.param(["-parallelism", "4"], {"parallelism": 4}, id="value-after-a-space"),
        pytest.param(["--parallelism", "4"], {"parallelism": 4}, id="value-after-a-space-and-two-dashes"),
        pytest.param(["-parallelism", "-4"], {"parallelism": -4}, id="value-that-begins-with-a-dash"),
        pytest.param(["-target=a", "-target", "b", "--target=c"], {"target": ("a", "b", "c")}, id="several-values"),
        pytest.param(["-target=a=b"], {"target": ("a=b",)}, id="value-with-an-equals-sign"),
        pytest.param(["-target="], {"target": ("",)}, id="empty-value"),
        pytest.param(["-target", "-json"], {"target": ("-json",)}, id="value-that-looks-like-an-option"),
        pytest.param(["a", "-json", "b"], {"names": ("a", "b"), "as_json": True}, id="option-between-arguments"),
        pytest.param(["--", "-json", "-x"], {"names": ("-json", "-x")}, id="arguments-after-two-dashes"),
        pytest.param(["-"], {"names": ("-",)}, id="dash-alone-is-an-argument"),
    ],
)
def test_option_is_read(args: list[str], given: dict[str, object]) -> None:
    assert called("plan", *args) == given


@pytest.mark.parametrize("spelling", [["-chdir=x"], ["--chdir=x"], ["-chdir", "x"], ["--chdir", "x"]], ids=" ".join)
def test_option_of_the_program_stands_before_the_command(spelling: list[str]) -> None:
    assert called(*spelling, "plan", "-json") == {"as_json": True}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(["plan", "-auto-aprove"], "No such option '-auto-aprove'. Did you mean '-auto-approve'?", id="near-option"),
        pytest.param(["plan", "--auto-aprove=true"], "No such option '-auto-aprove'. Did you mean '-auto-approve'?", id="near-option-with-a-value"),
        pytest.param(["plan", "-xyz"], "No such option '-xyz'.", id="option-like-no-other"),
        pytest.param(["plan", "-auto-approve=maybe"], "-auto-approve takes true or false, not 'maybe'.", id="flag-that-is-maybe"),
        pytest.param(["plan", "-auto-approve="], "-auto-approve takes true or false, not ''.", id="flag-with-nothing"),
        pytest.param(["plan", "-parallelism"], "Option '-parallelism' requires an argument.", id="no-value"),
        pytest.param(["plan", "-parallelism=many"], "'many' is not a valid integer.", id="value-of-the-wrong-type"),
        pytest.param(["paln"], "There is no command 'paln'. Did you mean 'plan'?", id="near-command"),
        pytest.param(["frobnicate"], "There is no command 'frobnicate'.", id="command-like-no-other"),
        pytest.param(["-json", "plan"], "No such option '-json'.", id="option-of-a-command-before-it"),
    ],
)
def test_mistake_is_told(args: list[str], message: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        called(*args)
    assert caught.value.format_message().endswith(message)


def test_options_together_are_in_their_order() -> None:
    together = with_options(option("-a"), option("-b"))

    @click.command(cls=Command)
    @together
    @option("-c")
    def command(**given: object) -> None: ...

    assert [param.name for param in command.params] == ["a", "b", "c"]


# The program itself


@pytest.fixture(autouse=True)
def empty_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    monkeypatch.setenv("NO_COLOR", "1")


def every_command(group: click.Group = cli, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield (*names, name), command
            if isinstance(command, click.Group):
                yield from every_command(command, *names, name)


EVERY = dict(every_command())


def test_every_command_of_the_tables_is_there_under_its_name() -> None:
    assert set(EVERY) == {(name,) for name in COMMANDS} | {("state",)} | {("state", name) for name in STATE_COMMANDS}
    for table in (COMMANDS, STATE_COMMANDS):
        for name, place in table.items():
            module, attribute = place.split(":")
            assert getattr(import_module(module), attribute).name == name


@pytest.mark.parametrize("spelling", ["-help", "--help", "-h"])
@pytest.mark.parametrize("names", [(), *EVERY], ids=" ".join)
def test_every_command_explains_itself(names: Sequence[str], spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*names, spelling]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: {' '.join(['reconciler', *names])} ")
    assert err == ""


@pytest.mark.parametrize("names", [names for names, command in EVERY.items() if not isinstance(command, click.Group)], ids=" ".join)
def test_every_option_is_explained_and_has_one_dash(names: tuple[str, ...]) -> None:
    options = [param for param in EVERY[names].params if isinstance(param, click.Option)]
    assert all(param.help for param in options)
    assert all(not name.startswith("--") for param in options for name in param.opts)


@pytest.mark.parametrize("names", [(name,) for name in COMMANDS if name != "version"], ids=" ".join)
def test_every_command_shows_examples_of_itself(names: tuple[str, ...]) -> None:
    text = EVERY[names].help or ""
    assert "Examples:" in text
    examples = [line for line in text.splitlines() if f"reconciler {names[0]}" in line]
    assert examples


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        pytest.param(["plan", "-targt=x"], "Error: No such option '-targt'.", "Try 'reconciler plan -help'.", id="unknown-option"),
        pytest.param(["paln"], "Error: There is no command 'paln'. Did you mean 'plan'?", "Try 'reconciler -help'.", id="unknown-command"),
        pytest.param(["state", "shaw"], "Error: There is no command 'shaw'. Did you mean 'show'?", "Try 'reconciler state -help'.", id="in-a-group"),
        pytest.param(["why"], "Error: Missing argument 'ADDRESS'.", "Try 'reconciler why -help'.", id="missing-argument"),
        pytest.param(["apply", "-parallelism=0"], "Error: Invalid value for '-parallelism'", "Try 'reconciler apply -help'.", id="out-of-range"),
        pytest.param(["output", "-raw"], "Error: -raw needs the NAME", "Try 'reconciler output -help'.", id="options-that-need-each-other"),
        pytest.param(["-chdir=nowhere", "plan"], "Error: Invalid value for -chdir: nowhere: No such file", "Try 'reconciler -help'.", id="chdir"),
    ],
)
def test_usage_error_ends_with_1_and_names_the_help(args: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(args) == 1
    out, err = capsys.readouterr()
    assert err.startswith(message)
    assert err.splitlines()[-1] == hint
    assert out == ""


@pytest.mark.parametrize("args", [[], ["state"]], ids=["program", "group"])
def test_without_a_command_the_help_is_told(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(args) == 1
    out, err = capsys.readouterr()
    assert (out, err[:6]) == ("", "Usage:")
    assert "Try '" not in err


def test_error_is_talk_and_with_json_data_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "no-such-run"]) == 1
    assert capsys.readouterr() == ("", "\nError: No run no-such-run\n\n`reconciler history` names every run.\n")
    assert run(["show", "-json", "no-such-run"]) == 1
    out, err = capsys.readouterr()
    assert [item["summary"] for item in json.loads(out)["diagnostics"]] == ["No run no-such-run"]
    assert err.startswith("\nError: No run no-such-run\n")
