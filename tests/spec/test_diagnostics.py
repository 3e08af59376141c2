"""What is told of a wrong configuration: every problem, at its place, with the nearest valid name, and never a secret."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.diagnostic import Diagnostic
from reconciler.errors import SpecInvalid
from reconciler.options import Options
from reconciler.spec.loader import load

Refused = Callable[..., tuple[Diagnostic, ...]]
Job = Callable[..., str]

INTAKE = "{type: localFile, file: data/a.csv}"
OUTPUT = "{type: localFile, path: out/a.csv}"


def underlined(diagnostic: Diagnostic) -> str:
    place = diagnostic.place
    assert place is not None and place.column is not None and place.text is not None
    return place.text[place.column - 1 : place.column - 1 + place.length]


@pytest.mark.parametrize(
    ("line", "summary", "shown", "said"),
    [
        pytest.param("max_explantions: 3", "Unknown key", "max_explantions", 'Did you mean "max_explanations"?', id="an unknown key"),
        pytest.param("enabled: false", "Unknown key", "enabled", "not a key of a job", id="a key that would do nothing"),
        pytest.param("maxExplanation: 3", "Unknown key", "maxExplanation", 'Did you mean "maxExplanations"?', id="an unknown key in camelCase"),
        pytest.param("max_explanations: '3'", "Invalid value", "'3'", 'must be a whole number; found the text "3"', id="a text for a number"),
        pytest.param("max_explanations: 1.5", "Invalid value", "1.5", "must be a whole number; found the number 1.5", id="a fraction"),
        pytest.param("max_explanations: 101", "Invalid value", "101", "must be at most 100", id="a number that is too large"),
        pytest.param("threshold_high: high", "Invalid value", "high", "must be a number", id="a text for a fraction"),
        pytest.param("abort_on_error: yes", "Invalid value", "yes", "must be true or false", id="yes is not true"),
        pytest.param("chunk_size: 5", "Invalid value", "5", "one of auto, fixed, dynamic or at least 20", id="either of two kinds"),
        pytest.param("chunk_size: fixd", "Invalid value", "fixd", 'Did you mean "fixed"?', id="a word that is not known"),
        pytest.param("passthrough_columns: id", "Invalid value", "id", "must be a list", id="a text for a list"),
        pytest.param("passthrough_columns: [id, 7]", "Invalid value", "7", "entry 2 of passthrough_columns must be a text", id="an entry"),
        pytest.param("passthrough_columns_set: al", "Invalid value", "al", "must be all", id="the only word there is"),
        pytest.param("csv_settings: {delimeter: ';'}", "Unknown key", "delimeter", 'Did you mean "delimiter"?', id="an unknown key inside"),
        pytest.param("csv_settings: {delimiter: ab}", "Invalid value", "ab", "csv_settings.delimiter must be at most 1", id="a value inside"),
        pytest.param("csv_settings: {encoding: utf-9}", "Invalid value", "utf-9", "not a known encoding", id="an encoding"),
        pytest.param("csv_settings: 3", "Invalid value", "3", "must be a mapping", id="a number for a block"),
        pytest.param("prediction_instance: {ssl_enabled: true}", "Missing key", "prediction_instance", "needs host_name", id="a missing key inside"),
        pytest.param("timeseries_settings: {}", "Missing key", "timeseries_settings", "needs type", id="a missing kind"),
        pytest.param("timeseries_settings: {type: forcast}", "Invalid value", "forcast", 'Did you mean "forecast"?', id="an unknown kind"),
        pytest.param("timeseries_settings: {type: forecast, x: 1}", "Unknown key", "x", "forecast_point", id="an unknown key of a kind"),
        pytest.param("timeseries_settings: {type: forecast, forecastPoint: 3}", "Invalid value", "3", "must be a text", id="a value of a kind"),
        pytest.param("csv_settings: {delimiter: '\"'}", "Invalid options", "{delimiter: '\"'}", "same character", id="a rule between keys"),
        pytest.param("threshold_low: 0.5", "Invalid options", "a", "above 0.", id="a rule about a key that is not there"),
        pytest.param(
            "include_probabilities_classes: [a]\n    includeProbabilities: false", "Invalid options", "[a]", "needs", id="a rule in two keys"
        ),
        pytest.param("maxExplanations: 1\n    max_explanations: 1", "Duplicate key", "max_explanations", "one key", id="a key in both spellings"),
        pytest.param(
            "csv_settings: {quotechar: a, quoteChar: b}", "Unknown key", "quoteChar", 'Did you mean "quotechar"?', id="a key that is one word"
        ),
        pytest.param("tags: 3", "Invalid value", "3", "must be a mapping or a list", id="tags that are neither"),
        pytest.param("tags: {a: 1}", "Invalid value", "1", "tags.a must be a text", id="a tag that is a number"),
        pytest.param("tags: [1]", "Invalid value", "1", "entry 1 of tags must be a text", id="a tag of a list"),
        pytest.param("description: [a]", "Invalid value", "[a]", "must be a text; found a list", id="a description that is a list"),
        pytest.param("depends_on: a", "Invalid value", "a", "must be a list", id="a name instead of a list of names"),
        pytest.param("depends_on: [b]", "Unknown job", "b", 'no job "b"', id="an unknown job"),
        pytest.param("depends_on: [a]", "Dependency cycle", "a", "job.a waits for job.a", id="waiting for itself"),
        pytest.param("for_each: x", "Invalid for_each", "x", "must be a list of texts", id="a text for for_each"),
        pytest.param("for_each:", "Invalid for_each", "for_each", "found nothing", id="nothing for for_each"),
        pytest.param("for_each: [x, x]", "Duplicate key", "x", "already a key", id="a key of for_each twice"),
        pytest.param("for_each: [2026]", "Invalid for_each", "2026", "Quote it", id="a number as a key of for_each"),
        pytest.param("for_each: ['${each.key}']", "Invalid expression", "'${each.key}'", "only inside", id="each in for_each itself"),
        pytest.param("description: ${var.mont}", "Unknown variable", "${var.mont}", 'Did you mean "month"?', id="an unknown variable"),
        pytest.param("max_explanations: ${var.mont}", "Unknown variable", "${var.mont}", "month", id="an expression is told once"),
        pytest.param("max_explanations: ${var.month}", "Invalid value", "${var.month}", 'found the text "2026-10"', id="a variable of a wrong kind"),
        pytest.param(
            "description: ${env.HOME}",
            "Environment variable not allowed",
            "${env.HOME}",
            "only where nothing is ever stored: in workspaces",
            id="the environment",
        ),
        pytest.param("description: ${job.b.output}", "Unknown job", "${job.b.output}", 'no job "b"', id="an output of no job"),
        pytest.param("description: '${job.a.output}'", "Dependency cycle", "a", "must not wait", id="its own output"),
        pytest.param("tags: {'${var.month}': a}", "Expression in a key", "'${var.month}'", "written out", id="an expression in a key"),
        pytest.param("timeouts: {queue: 30}", "Invalid value", "30", "is not a duration", id="a number for a duration"),
        pytest.param("timeouts: {run: soon}", "Invalid value", "soon", "such as 30s, 5m", id="a word for a duration"),
        pytest.param("timeouts: {total: 0s}", "Invalid value", "0s", "no time at all", id="no time"),
        pytest.param("timeouts: {all: 5m}", "Unknown key", "all", "queue, run, total", id="an unknown timeout"),
        pytest.param("timeouts: 5m", "Invalid value", "5m", "must be a mapping", id="a duration for timeouts"),
        pytest.param("retries: 11", "Invalid value", "11", "at most 10", id="too many retries"),
        pytest.param("retries: -1", "Invalid value", "-1", "at least 0", id="less than no retries"),
        pytest.param("on_unknown: ask", "Invalid value", "ask", "one of keep, rerun", id="another word for on_unknown"),
        pytest.param("intake_version: [a]", "Invalid value", "[a]", "must be a text", id="a list as a version"),
        pytest.param("intake_version: a", "Needless key", "intake_version", "is always looked at", id="a version of what is looked at"),
        pytest.param("probe: SELECT 1", "Needless key", "probe", "This one is a localFile intake", id="a query to a file"),
        pytest.param("deployment_id: x", "Several targets", "deployment_id", "found deployment and deployment_id", id="two targets"),
    ],
)
def test_a_wrong_line_is_told(refused: Refused, head: str, job: Job, line: str, summary: str, shown: str, said: str) -> None:
    (diagnostic,) = refused(head + job("a", line))

    assert diagnostic.summary == summary
    assert said in diagnostic.detail
    assert underlined(diagnostic) == shown
    assert diagnostic.context == 'job "a"'
    assert diagnostic.place is not None and diagnostic.place.file == "specs/jobs.yaml"


@pytest.mark.parametrize(
    ("settings", "summary", "shown", "said"),
    [
        pytest.param(
            "{type: s3, url: 's3://b/k', credentail: lake}", "Unknown key", "credentail", 'an s3 intake. Did you mean "credential"?', id="a typo"
        ),
        pytest.param("{type: s3, url: 's3://b/k', credential: lke}", "Unknown credential", "lke", 'Did you mean "lake"?', id="an unknown credential"),
        pytest.param("{type: s3, url: 's3://b/k', credential: 3}", "Invalid value", "3", "must be a text", id="a name that is a number"),
        pytest.param(
            "{type: s3, url: 's3://b/k', credential: lake, credential_id: x}", "Name and id", "credential", "Keep one", id="a name and an id"
        ),
        pytest.param("{type: s3, url: 's3://b/k', credential: lake, credentialId: x}", "Name and id", "credential", "Keep one", id="in camelCase"),
        pytest.param("{type: s3, url: 's3://b/k', endpoint_url: a, endpointUrl: b}", "Duplicate key", "endpoint_url", "one key", id="both spellings"),
        pytest.param("{type: s3, url: 'http://b/k'}", "Invalid value", "'http://b/k'", "s3://bucket", id="another kind of address"),
        pytest.param("{type: s3}", "Missing key", "intake_settings", "An s3 intake needs url.", id="a missing key"),
        pytest.param("{type: localFile}", "Missing key", "intake_settings", "needs file", id="a local file without its path"),
        pytest.param("{type: localFile, file: ''}", "Invalid value", "''", "path of a file", id="an empty path"),
        pytest.param("{type: localFile, file: data/}", "Invalid value", "data/", "not ending in /", id="a folder for a file"),
        pytest.param("{type: localFile, file: a, path: a}", "Unknown key", "path", "It has: async, file", id="an output's key in an intake"),
        pytest.param("{file: a.csv}", "Missing key", "intake_settings", "needs type", id="a missing type"),
        pytest.param("{type: localfile, file: a}", "Unknown intake type", "localfile", 'Did you mean "localFile"?', id="an unknown type"),
        pytest.param("{type: [s3]}", "Unknown intake type", "[s3]", "A list is not a type", id="a list of types"),
        pytest.param("{type: tableau}", "Unknown intake type", "tableau", "not a type of intake", id="a type of output only"),
        pytest.param("{type: jdbc, data_store: warehous, table: t}", "Unknown data store", "warehous", '"warehouse"', id="an unknown data store"),
        pytest.param("{type: jdbc, table: t}", "Missing key", "intake_settings", "needs data_store_id", id="no data store"),
        pytest.param("{type: jdbc, data_store: warehouse}", "Invalid settings", "jdbc", "Exactly one of query and table", id="a rule between keys"),
        pytest.param("{type: dataset, dataset: customer}", "Unknown dataset", "customer", '"customers"', id="an unknown dataset"),
        pytest.param(
            "{type: jdbc, data_store: warehouse, table: t, fetchSize: 0}", "Invalid value", "0", "at least 1", id="a number that is too small"
        ),
        pytest.param("a.csv", "Invalid value", "a.csv", "must be a mapping", id="a path for a block"),
        pytest.param("${var.columns}", "Invalid value", "${var.columns}", "must be a mapping; found a list", id="a variable that is a list"),
    ],
)
def test_a_wrong_intake_is_told(refused: Refused, head: str, job: Job, settings: str, summary: str, shown: str, said: str) -> None:
    (diagnostic,) = refused(head + job("a", replace={INTAKE: settings}))

    assert diagnostic.summary == summary
    assert said in diagnostic.detail
    assert underlined(diagnostic) == shown


@pytest.mark.parametrize(
    ("text", "summary", "shown", "said"),
    [
        pytest.param("job: {}\n", "Unknown section", "job", 'Did you mean "jobs"?', id="an unknown section"),
        pytest.param("jobs: []\n", "Invalid section", "[]", "must be a mapping", id="a list of jobs"),
        pytest.param("jobs: {a: 3}\n", "Invalid job", "3", "A job is a mapping", id="a job that is a number"),
        pytest.param("jobs: {a b: {}}\n", "Invalid name", "a b", "begins with a letter", id="a name with a space"),
        pytest.param("jobs: {1a: {}}\n", "Invalid name", "1a", "begins with a letter", id="a name that begins with a digit"),
        pytest.param("variables: {a: 3}\n", "Invalid variable", "3", "{default: …}", id="a variable without its mapping"),
        pytest.param("variables: {a: {defalt: 3, default: 1}}\n", "Unknown key", "defalt", '"default"', id="a typo in a variable"),
        pytest.param("variables: {a: {default: '${var.b}'}}\n", "Invalid expression", "'${var.b}'", "each other", id="a variable in a variable"),
        pytest.param("variables: {a: {}}\n", "Missing variable", "a", "-var=a=", id="a variable without a value"),
        pytest.param("variables: {a: {default: 1, description: 2}}\n", "Invalid value", "2", "text", id="a description that is a number"),
        pytest.param("deployments: {a: m}\n", "Invalid deployment", "m", "{local: …}", id="a deployment without a workspace"),
        pytest.param("deployments: {a: {prd: m}}\n", "Unknown workspace", "prd", 'No workspace "prd"', id="an unknown workspace"),
        pytest.param("deployments: {a: {local: {x: 1}}}\n", "Invalid deployment", "{x: 1}", "a model's folder", id="a deployment bound to a mapping"),
        pytest.param(
            "deployments: {a: {local: {model: m, trust: 1}}}\n",
            "Invalid deployment",
            "{model: m, trust: 1}",
            "trust: true or false",
            id="half a trust",
        ),
        pytest.param("deployments: {a: {local: }}\n", "Invalid deployment", "local", "a model's folder", id="a deployment bound to nothing"),
        pytest.param(
            "deployments: {a: {local: '${env.X}'}}\n", "Environment variable not allowed", "'${env.X}'", "credentials", id="the environment"
        ),
        pytest.param("datasets: {a: {local: [x]}}\n", "Invalid dataset", "[x]", "a text", id="a dataset bound to a list"),
        pytest.param("deployments: {a: {local: x}, a: {local: y}}\n", "Duplicate key", "a", "line 1", id="a name twice"),
    ],
)
def test_a_wrong_section_is_told(refused: Refused, text: str, summary: str, shown: str, said: str) -> None:
    (diagnostic,) = refused(text)

    assert diagnostic.summary == summary
    assert said in diagnostic.detail
    assert underlined(diagnostic) == shown


@pytest.mark.parametrize(
    ("text", "summary", "shown"),
    [
        pytest.param("workspaces: {prod: {endpint: https://s3cr3t@host}}\n", "Unknown key", "endpint", id="a typo in a workspace"),
        pytest.param("workspaces: {prod: {endpoint: s3cr3t}}\n", "Invalid value", None, id="an endpoint that is none"),
        pytest.param("workspaces: {prod: s3cr3t}\n", "Invalid workspace", None, id="a workspace that is a text"),
        pytest.param("workspaces: {prod: {endpoint: datarobot, token: s3cr3t}}\n", "Invalid value", None, id="a token"),
        pytest.param("workspaces: {prod: {endpoint: datarobot, token: 'Bearer ${env.T} s3cr3t'}}\n", "Invalid value", None, id="a token with more"),
        pytest.param("workspaces: {prod: {endpoint: datarobot, token: [s3cr3t]}}\n", "Invalid value", None, id="a list of tokens"),
        pytest.param(
            "variables: {t: {default: x}}\nworkspaces: {prod: {endpoint: datarobot, token: '${var.t}', token_type: Token}} # s3cr3t\n",
            "Invalid value",
            None,
            id="a token in a variable",
        ),
        pytest.param("workspaces: {prod: {endpoint: 'https://ada:s3cr3t@host/api/v2'}}\n", "Invalid value", None, id="a password in an address"),
        pytest.param("workspaces: {prod: {token: '${env.s3cr3t}'}}\n", "Invalid value", None, id="a token for no endpoint"),
        pytest.param("workspaces: {prod: {endpoint: datarobot, token: '${env.s3cr3t}'}}\n", "Invalid value", None, id="a token for the client's own"),
        pytest.param("workspaces: {prod: {endpoint: datarobot, allow_http: s3cr3t}}\n", "Invalid value", None, id="a word for a boolean"),
        pytest.param("workspaces: {prod: {endpoint: datarobot, token_type: s3cr3t}}\n", "Invalid value", None, id="another type of token"),
        pytest.param("workspaces: {prod: {endpoint: datarobot, ca_file: 3}}\n", "Invalid value", None, id="a number for a file"),
        pytest.param("workspaces: {prod: {endpoint: datarobot, connect_timeout: s3cr3t}}\n", "Invalid value", None, id="a word for a time"),
        pytest.param("workspaces: {prod: {endpoint: datarobot, read_timeout: 0}}\n", "Invalid value", None, id="no time to read"),
        pytest.param("workspaces: {prod: {endpoint: datarobot, read_timeout: true}}\n", "Invalid value", None, id="a boolean for a time"),
        pytest.param(
            "workspaces: {p: {endpoint: datarobot}}\ncredentials: {lake: {p: {key: s3cr3t}}}\n", "Invalid credential", "p", id="settings for an id"
        ),
        pytest.param(
            "workspaces: {p: {endpoint: datarobot}}\ndata_stores: {crm: {p: {url: s3cr3t}}}\n", "Invalid data store", "p", id="a store for an id"
        ),
        pytest.param("workspaces: s3cr3t\n", "Invalid section", None, id="a section that is a text"),
        pytest.param("credentials: {lake: s3cr3t}\n", "Invalid credential", "lake", id="a credential without a workspace"),
        pytest.param("credentials: {lake: {local: [s3cr3t]}}\n", "Invalid credential", "local", id="a credential that is a list"),
        pytest.param("credentials: {lake: {lcal: s3cr3t}}\n", "Unknown workspace", "lcal", id="a credential of an unknown workspace"),
        pytest.param("data_stores: {a: {local: {url: 's3cr3t${var.x}'}}}\n", "Unknown variable", None, id="a variable in a data store"),
        pytest.param("data_stores: {a: {local: {'s3cr3t': '${env'}}}\n", "Invalid expression", None, id="an expression that is not closed"),
    ],
)
def test_a_secret_is_never_shown(refused: Refused, text: str, summary: str, shown: str | None) -> None:
    (diagnostic,) = refused(text)

    assert diagnostic.summary == summary
    assert "s3cr3t" not in repr(diagnostic)
    assert (None if shown is None else underlined(diagnostic)) == shown


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("prediction_instance: {host_name: h, api_key: {a: s3cr3t}}", OUTPUT),
        ("predictionInstance:\n      hostName: h\n      datarobotKey: [s3cr3t]", OUTPUT),
        ("max_explanations: 3", "{type: http, url: 'https://x', headers: {Authorization: [s3cr3t]}}"),
        ("max_explanations: 3", "{type: http, url: 'https://x', headers: s3cr3t}"),
        ("max_explanations: 3", "\n      type: http\n      url: https://x\n      headers:\n        Authorization: [s3cr3t]"),
        ("max_explanations: 3", "{type: s3, url: 's3://b/k', server_side_encryption: {customer_key: [s3cr3t]}}"),
    ],
)
def test_a_secret_of_a_job_is_never_shown(refused: Refused, head: str, job: Job, line: str, output: str) -> None:
    (diagnostic,) = refused(head + job("a", line, replace={OUTPUT: output}))

    assert diagnostic.summary == "Invalid value"
    assert "s3cr3t" not in repr(diagnostic)


def test_every_problem_is_told_at_once_in_the_order_of_its_place(refused: Refused, head: str, job: Job) -> None:
    text = (
        head
        + job("a", "max_explantions: 3", "threshold_low: x", replace={INTAKE: "{type: s3x}", "churn": "chrun"})
        + job("b", "depends_on: [c]", "tags: {a: '${var.x}'}", replace={"path": "pth"})
    )

    assert [diagnostic.summary for diagnostic in refused(text)] == [
        "Unknown deployment",
        "Unknown intake type",
        "Unknown key",
        "Invalid value",
        "Missing key",
        "Unknown key",
        "Unknown job",
        "Unknown variable",
    ]


def test_an_empty_job_is_told_all_that_it_needs(refused: Refused) -> None:
    assert sorted(diagnostic.detail[:30] for diagnostic in refused("jobs: {a: {}}\n")) == [
        "A job needs exactly one of dep",
        "A job needs intake_settings.",
        "A job needs output_settings.",
    ]


def test_what_a_for_each_repeats_is_told_once(refused: Refused, head: str, job: Job) -> None:
    text = head + job(
        "a", "for_each: [x, y, z]", "description: ${each.value.f}", "max_explantions: 1", replace={"out/a": '"out/${each.key}"'}
    ).replace('"out/${each.key}".csv', '"out/${each.key}.csv"')

    assert [diagnostic.summary for diagnostic in refused(text)] == ["Invalid expression", "Unknown key"]


def test_a_job_that_waits_for_a_broken_one_is_not_blamed(refused: Refused, head: str, job: Job) -> None:
    text = head + job("a", replace={"churn": "chrun"}) + job("b", replace={"data/b.csv": "'${job.a.output}'"})

    (diagnostic,) = refused(text)

    assert diagnostic.summary == "Unknown deployment"


def test_a_cycle_is_named_whole(refused: Refused, head: str, job: Job) -> None:
    text = head + job("a", "depends_on: [c]") + job("b", "depends_on: [a]") + job("c", replace={"data/c.csv": "'${job.b.output}'"})

    (diagnostic,) = refused(text)

    assert diagnostic.summary == "Dependency cycle"
    assert diagnostic.detail.count(", which waits for ") == 2


@pytest.mark.parametrize(
    ("reference", "summary", "said"),
    [
        ("${job.a.output}", "Unknown instance", 'write: ${job.a["x"].output}'),
        ('${job.a["z"].output}', "Unknown instance", 'no instance "z"'),
        ("${job.aa.output}", "Unknown job", 'Did you mean "a"?'),
        ("${job.s.output}", "Invalid expression", "is a table"),
        ('${job.s["x"].output}', "Unknown instance", "no for_each"),
    ],
)
def test_a_wrong_reference_to_a_job_is_told(refused: Refused, head: str, job: Job, reference: str, summary: str, said: str) -> None:
    upstream = job("a", "for_each: [x, y]", replace={"out/a.csv": "'out/${each.key}.csv'"})
    remote = job("s", replace={"{type: localFile, path: out/s.csv}": "{type: bigquery, dataset: d, table: t}"})

    (diagnostic,) = refused(head + upstream + remote + job("b", replace={"data/b.csv": f"'{reference}'"}))

    assert diagnostic.summary == summary
    assert said.replace("write", "say which instance") in diagnostic.detail


@pytest.mark.parametrize(
    ("waits", "said"),
    [('job.a["z"]', 'no instance "z"'), ("a[x]", "no instance"), ('job.s["x"]', "no for_each"), ("job.a.x", "no job"), ("job.aa", '"a"')],
)
def test_a_wrong_dependency_is_told(refused: Refused, head: str, job: Job, waits: str, said: str) -> None:
    upstream = job("a", "for_each: [k1, k2]", replace={"out/a.csv": "'out/${each.key}.csv'"})

    (diagnostic,) = refused(head + upstream + job("s") + job("b", f"depends_on: ['{waits}']"))

    assert said in diagnostic.detail
    assert underlined(diagnostic) == f"'{waits}'"


def test_a_name_declared_in_two_files_is_told_with_both_places(write: Callable[..., Path], job: Job, head: str) -> None:
    write(head + job("a"), "specs/a.yaml")
    root = write("jobs:\n" + job("a"), "specs/b.yaml")

    with pytest.raises(SpecInvalid) as caught:
        load(root)

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.summary == "Declared twice"
    assert diagnostic.place is not None and (diagnostic.place.file, diagnostic.place.line) == ("specs/b.yaml", 2)
    assert "specs/a.yaml line 17" in diagnostic.detail


def test_one_unreadable_file_does_not_make_the_others_wrong(write: Callable[..., Path], job: Job) -> None:
    write("deployments:\n\tchurn: {}\n", "specs/a.yaml")
    root = write("jobs:\n" + job("a"), "specs/b.yaml")

    with pytest.raises(SpecInvalid) as caught:
        load(root)

    assert [diagnostic.summary for diagnostic in caught.value.diagnostics] == ["Tab in the indentation"]


@pytest.mark.parametrize(
    ("options", "summary", "said"),
    [
        ({"workspace": "prd"}, "Unknown workspace", 'Did you mean "prod"? Declared: local, prod.'),
        ({"variables": {"mont": "x"}}, "Unknown variable", 'Did you mean "month"?'),
        ({"variables": {"explanations": "many"}}, "Invalid variable", "must be a number"),
        ({"variables": {"explanations": "true"}}, "Invalid variable", "must be a number"),
        ({"variables": {"explanations": "[1"}}, "Invalid variable", "must be a number"),
        ({"variables": {"columns": "id"}}, "Invalid variable", "must be a list"),
    ],
)
def test_a_wrong_request_is_told(refused: Refused, head: str, options: dict[str, object], summary: str, said: str) -> None:
    (diagnostic,) = refused(head, **options)

    assert diagnostic.summary == summary
    assert said in diagnostic.detail


def test_a_name_that_is_not_bound_here_says_where_it_is(refused: Refused, head: str, job: Job) -> None:
    (diagnostic,) = refused(head + job("a", replace={"churn": "credit"}))

    assert diagnostic.summary == "Unbound deployment"
    assert 'bound in prod, not in "local"' in diagnostic.detail
    assert "specs/jobs.yaml line 9" in diagnostic.detail


def shap_only(options: Options, folder: str) -> Iterator[tuple[str, str]]:
    if options.explanation_algorithm == "xemp":
        yield "explanation_algorithm", f"the model in {folder} explains with shap"


@pytest.mark.parametrize("target", ["model_id", "modelPackageId"])
def test_the_embedded_service_scores_deployments_only(refused: Refused, head: str, job: Job, target: str) -> None:
    (diagnostic,) = refused(head + job("a", replace={"deployment: churn": f"{target}: x"}))

    assert (diagnostic.summary, underlined(diagnostic)) == ("Unsupported target", target)


def test_what_the_embedded_service_cannot_do_is_told(refused: Refused, head: str, job: Job) -> None:
    lines = ("max_explanations: 3", "explanationAlgorithm: xemp")
    text = head + job("a", *lines, replace={OUTPUT: "{type: tableau, data_source_id: x}"})

    first, second = refused(text, refusals=shap_only, local_types=frozenset({"localFile", "s3"}))

    assert (first.summary, underlined(first)) == ("Unsupported output type", "tableau")
    assert "localFile, s3" in first.detail
    assert (second.summary, second.detail, underlined(second)) == ("Unsupported option", "the model in models/churn explains with shap.", "xemp")
