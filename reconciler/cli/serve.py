"""`reconciler serve`."""

import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from reconciler.cli.command import Command, option
from reconciler.cli.session import give, open_session, spec_options, state_options


@click.command(cls=Command)
@option("-host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="The address to listen on.")
@option("-port", type=click.IntRange(0, 65535), default=8765, show_default=True, metavar="N", help="The port; 0 takes a free one.")
@option("-allow-remote", is_flag=True, help="Allow an address that other machines can reach.")
@option("-storage", metavar="DIR", help="Where jobs, uploads and results are kept.  [default: beside the state]")
@option(
    "-retention", "retention_hours", type=click.FloatRange(min=0), default=48.0, show_default=True, metavar="HOURS", help="How long files are kept."
)
@option("-upload-limit", type=click.IntRange(min=1), metavar="BYTES", help="The largest upload.  [default: none]")
@option(
    "-patience",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a silent caller is waited for.",
)
@option(
    "-jobs-per-deployment",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many jobs of one deployment are scored at once.",
)
@option("-json", "as_json", is_flag=True, help="Say where it serves as one JSON document.")
@spec_options
@state_options
def serve(
    host: str,
    port: int,
    allow_remote: bool,
    storage: str | None,
    retention_hours: float,
    upload_limit: int | None,
    patience: float,
    jobs_per_deployment: int,
    as_json: bool,
    var: Sequence[str],
    var_file: Sequence[str],
    state: str,
    workspace: str,
    no_color: bool,
) -> None:
    """Serve the specs' deployments as DataRobot's Batch Prediction API, for the official client and any other.

    The token is that of DATAROBOT_API_TOKEN; without one, a token is made and kept in the storage folder. Ctrl-C or SIGTERM ends it in order; what
    was accepted goes on at the next start.

    \b
    Examples:
      reconciler serve
      reconciler serve -storage /var/lib/scoring -retention 12 -upload-limit 10000000000
      DATAROBOT_API_TOKEN=secret reconciler serve -port 0 -json
    """
    from reconciler.serving import Settings, kept_token, listen
    from reconciler.serving import serve as serve_api
    from reconciler.wanted import load_specs

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings are of what it tries again, and hold whole URLs, which may be signed
    session = open_session(state, workspace, no_color, var, var_file)
    specs = load_specs(session.project)
    deployments = specs.deployments
    folder = Path(storage) if storage else session.project.state.parent / f"{session.project.state.stem}.serve" / workspace
    token, token_file = kept_token(folder)
    listener = listen(host, port, is_remote_allowed=allow_remote)
    shown_host = f"[{host}]" if ":" in host else host
    endpoint = f"http://{shown_host}:{listener.getsockname()[1]}/api/v2"

    def ready() -> None:
        give(ready_text(endpoint, token_file, deployments, as_json=as_json))

    serve_api(
        session.project.root,
        folder.absolute(),
        deployments,
        token,
        listener,
        Settings(timedelta(hours=retention_hours), upload_limit, timedelta(seconds=patience), jobs_per_deployment, specs.trusted),
        ready,
    )


def ready_text(endpoint: str, token_file: Path | None, deployments: dict[str, str], *, as_json: bool) -> str:
    from reconciler.serving import deployment_ids

    ids = deployment_ids(deployments)
    if as_json:
        return json.dumps({"endpoint": endpoint, "token_file": token_file and str(token_file), "deployments": ids})
    width = max(map(len, ids), default=0)
    lines = [f"Serving the Batch Prediction API at {endpoint}", "", f"  export DATAROBOT_ENDPOINT={endpoint}"]
    lines += [f'  export DATAROBOT_API_TOKEN="$(cat {token_file})"'] if token_file else []
    return "\n".join([*lines, "", "Deployments:", "", *(f"  {name.ljust(width)} = {id}" for name, id in ids.items()), ""])
