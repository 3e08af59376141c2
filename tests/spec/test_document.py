"""Reading a file: its values, its places, and what is refused in the YAML itself."""

from pathlib import Path

import pytest
import yaml

from reconciler.spec import document as document_module
from reconciler.spec.document import Document, open_document, parse_document
from reconciler.spec.reader import LOADER, read

PEM = "-----BEGIN KEY-----"


def parsed(text: str) -> Document:
    return parse_document(text.encode(), "specs/a.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("", {}, id="an empty file holds nothing"),
        pytest.param("# only a comment\n", {}, id="a comment holds nothing"),
        pytest.param("---\n", {}, id="a bare document marker holds nothing"),
        pytest.param("\ufeffa: 1\n", {"a": 1}, id="a byte order mark is skipped"),
        pytest.param("a: '1'\nb: \"true\"\n", {"a": "1", "b": "true"}, id="what is quoted is text"),
        pytest.param("on: yes\nno: off\n", {"on": "yes", "no": "off"}, id="yes and no are text, as keys as well"),
        pytest.param("true: 1\n", {"true": 1}, id="a key that looks like a boolean is text"),
        pytest.param("'1': a\n", {"1": "a"}, id="a quoted number may be a key"),
        pytest.param("a: !!str 1\nb: !!seq [1]\nc: !!map {d: 1}\n", {"a": "1", "b": [1], "c": {"d": 1}}, id="standard tags are read"),
        pytest.param("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}, id="an alias stands for what its anchor holds"),
        pytest.param("a: &x\nb: *x\n", {"a": None, "b": None}, id="an anchored nothing is nothing"),
        pytest.param("a: |\n  x\n  y\n", {"a": "x\ny\n"}, id="a block text keeps its lines"),
        pytest.param("a: [1, {b: }, []]\r\n", {"a": [1, {"b": None}, []]}, id="flow and DOS line ends are read"),
        pytest.param("a: " + "[" * 62 + "]" * 62 + "\n", None, id="62 levels are read"),
    ],
)
def test_a_file_is_read(text: str, value: object) -> None:
    document = parsed(text)

    assert document.diagnostics == ()
    assert value is None or document.value == value


@pytest.mark.parametrize(
    ("text", "summary", "line", "column", "said"),
    [
        pytest.param("a: 1\na: 2\n", "Duplicate key", 2, 1, "line 1", id="a key that is there twice"),
        pytest.param("a: {b: 1, b: 2}\n", "Duplicate key", 1, 11, "line 1", id="a key that is there twice in one line"),
        pytest.param("a:\n  <<: {b: 1}\n", "Merge key", 2, 3, "for_each", id="a merge key"),
        pytest.param("a: !secret b\n", "YAML tag", 1, 4, "!secret", id="a custom tag"),
        pytest.param("a: !!python/object/apply:os.system [ls]\n", "YAML tag", 1, 4, "!!python", id="a tag that would run code"),
        pytest.param("a: !!binary aGk=\n", "YAML tag", 1, 4, "!!binary", id="a standard tag that is not plain data"),
        pytest.param("1: a\n", "Key is not text", 1, 1, '"1"', id="a number as a key"),
        pytest.param("a: {~: b}\n", "Key is not text", 1, 5, '"~"', id="null as a key"),
        pytest.param("? [a]\n: b\n", "Key is not text", 1, 3, "text", id="a list as a key"),
        pytest.param("a: &x {b: &y 1, c: *y}\n", "Alias inside an anchored block", 1, 20, "*y", id="an alias in an anchored block"),
        pytest.param("a: &x [*x]\n", "Alias inside an anchored block", 1, 8, "*x", id="an alias to the block it is in"),
        pytest.param("a: *x\n", "Unknown alias", 1, 4, "&x", id="an alias to nothing"),
        pytest.param("a: &x 1\nb: &x 2\n", "Duplicate anchor", 2, 4, "&x", id="an anchor that is there twice"),
        pytest.param("a: 1\n---\nb: 2\n", "Several documents in one file", 2, 1, "file of its own", id="several documents"),
        pytest.param("a:\n\tb: 1\n", "Tab in the indentation", 2, 1, "tab", id="a tab in the indentation"),
        pytest.param("a:\n  - b\n\t- c\n", "Tab in the indentation", 3, 1, "tab", id="a tab in a list"),
        pytest.param("a: b: c\n", "Invalid YAML", 1, 5, "Quote", id="two colons"),
        pytest.param('a: 1\nb: "x\n', "Invalid YAML", 2, 4, "quote is not closed", id="a quote that is not closed"),
        pytest.param("a: {b: s3://${var.x}/y}\n", "Invalid YAML", 1, 14, "quoted", id="an expression without quotes in braces"),
        pytest.param("a: @x\n", "Invalid YAML", 1, 4, "Quote", id="a character that begins no text"),
        pytest.param("a: *.csv\n", "Invalid YAML", 1, 5, "quoted", id="a star that begins no alias"),
        pytest.param("a:\n  b: 1\n c: 2\n", "Invalid YAML", 3, 2, "indentation", id="an indentation that fits nothing"),
        pytest.param("- a\n", "Not a mapping", 1, 1, "jobs:", id="a list at the top"),
        pytest.param("# c\n\njust text\n", "Not a mapping", 3, 1, "jobs:", id="a text at the top"),
        pytest.param('a: "x\0y"\n', "Control character", 1, 6, "NUL", id="a NUL character"),
        pytest.param("a: 1\nb: \x07\n", "Control character", 2, 4, "U+0007", id="a bell"),
        pytest.param("a: x\ufeff\n", "Control character", 1, 5, "U+FEFF", id="a byte order mark in the middle"),
        pytest.param("a: " + "[" * 70 + "]" * 70 + "\n", "Nested too deeply", 1, 66, "64", id="70 levels of lists"),
        pytest.param("a: " + "{b: " * 70 + "}" * 70 + "\n", "Nested too deeply", 1, 252, "64", id="70 levels of mappings"),
    ],
)
def test_a_flaw_is_told_at_its_place(text: str, summary: str, line: int, column: int, said: str) -> None:
    (diagnostic,) = parsed(text).diagnostics

    assert diagnostic.summary == summary
    assert diagnostic.place is not None
    assert (diagnostic.place.file, diagnostic.place.line, diagnostic.place.column) == ("specs/a.yaml", line, column)
    assert said in diagnostic.detail
    assert diagnostic.place.text == text.removeprefix("\ufeff").splitlines()[line - 1]


def test_invalid_utf8_is_told_with_its_byte() -> None:
    (diagnostic,) = parse_document("a: 1\nb: ä".encode() + b"\xff\n", "specs/a.yaml").diagnostics

    assert diagnostic.summary == "Not UTF-8"
    assert "0xff" in diagnostic.detail
    assert diagnostic.place is not None
    assert (diagnostic.place.line, diagnostic.place.column) == (2, 5)


def test_every_flaw_that_does_not_end_the_reading_is_told() -> None:
    flaws = [diagnostic.summary for diagnostic in parsed("a: 1\na: 2\nb: !x 1\nc: {<<: 1, 2: 3}\n").diagnostics]

    assert flaws == ["Duplicate key", "YAML tag", "Merge key", "Key is not text"]


def test_of_a_key_that_is_there_twice_the_first_counts() -> None:
    assert parsed("a: 1\na: 2\n").value == {"a": 1}


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(document_module.LARGEST + 1)

    (diagnostic,) = open_document(path, "specs/a.yaml").diagnostics

    assert diagnostic.summary == "File too large"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (diagnostic,) = open_document(tmp_path / "gone.yaml", "specs/gone.yaml").diagnostics

    assert diagnostic.summary == "Unreadable file"
    assert "No such file" in diagnostic.detail


@pytest.mark.parametrize(
    ("path", "is_key", "line", "column", "length"),
    [
        pytest.param(("jobs", "a", "x"), False, 3, 8, 3, id="a value"),
        pytest.param(("jobs", "a", "x"), True, 3, 5, 1, id="a key"),
        pytest.param(("jobs", "a", "list", 1), False, 4, 16, 2, id="an entry of a list"),
        pytest.param(("jobs", "a", "empty"), False, 5, 5, 5, id="an empty value is its key"),
        pytest.param(("jobs", "a", "gone"), False, 2, 3, 1, id="a missing key is what it is missing from"),
        pytest.param(("jobs", "b", "x"), False, 3, 8, 3, id="an alias is where its anchor is"),
        pytest.param(("jobs",), True, 1, 1, 4, id="a section"),
        pytest.param((), False, 1, 1, 5, id="nothing is the whole file"),
    ],
)
def test_a_path_has_a_place(path: tuple[str | int, ...], is_key: bool, line: int, column: int, length: int) -> None:
    document = parsed("jobs:\n  a: &a\n    x: 'b'\n    list: [10, 20]\n    empty:\n  b: *a\n")

    place = document.place(path, is_key)

    assert (place.line, place.column, place.length) == (line, column, length)


def test_a_name_knows_its_line() -> None:
    assert parsed("deployments: {}\njobs:\n\n  # c\n  churn: {}\n").line("jobs", "churn") == 5


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("credentials:\n  lake:\n    local:\n      password: s3cr3t\n      password: s3cr3t\n", id="a key twice"),
        pytest.param("credentials: {lake: {local: {password: s3cr3t, password: s3cr3t}}}\n", id="a key twice in one line"),
        pytest.param('credentials:\n  lake:\n    local:\n      x: "s3cr3t\n', id="a quote that is not closed"),
        pytest.param("data_stores:\n  a:\n    local:\n      url: s3cr3t: x\n", id="two colons"),
        pytest.param("workspaces:\n# note\n  prod:\n    endpoint: !x https://s3cr3t@host\n", id="a tag under a comment"),
        pytest.param("jobs:\n  a:\n    output_settings:\n      headers:\n        Authorization: !x s3cr3t\n", id="a header"),
        pytest.param("jobs:\n  a:\n    headers:\n    - !x s3cr3t\n", id="an entry in its key's column"),
        pytest.param("jobs:\n  a:\n    prediction_instance: {apiKey: s3cr3t, apiKey: s3cr3t}\n", id="an api key"),
        pytest.param("credentials:\n  a:\n    local:\n      key: |\n        " + PEM + "\n        s3cr3t\n\t\n      b: c: d\n", id="a block text"),
        pytest.param("credentials:\n  a: s3cr3t\n  \tb: 1\n  c: \x07\n", id="a control character"),
    ],
)
def test_a_line_with_a_secret_is_never_shown(text: str) -> None:
    diagnostics = parsed(text).diagnostics

    assert diagnostics
    assert "s3cr3t" not in repr(diagnostics)


def test_the_reader_without_libyaml_reads_the_same() -> None:
    text = "a: &x {b: '1', c: 1}\nd: *x\ne: [yes, 1.5]\n"

    assert issubclass(LOADER, yaml.CSafeLoader)
    assert read(text, yaml.SafeLoader) == read(text)
