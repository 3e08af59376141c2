"""What an endpoint says of its deployments and datasets. The rule here: each is asked about once, and all at the same time."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.api.client import Client
from reconciler.api.retry import Retry
from reconciler.errors import ServiceError
from reconciler.fingerprint import value_digest
from reconciler.plan.remote import Answers, Question, version_digest
from reconciler.project import Project
from reconciler.scorer import open_scorer

# Somebody waits for the plan, and nothing is lost by making it again.
_BRIEF = Retry(tries=4, total_s=60.0)


def answers(project: Project, endpoint: Mapping[str, Any], questions: Iterable[Question]) -> Answers:
    """Opens a client of the endpoint and asks. Raises Refused without a token, and ServiceError when there is no answer to go by."""

    async def asked() -> Answers:
        async with open_scorer(project, endpoint, {}, retry=_BRIEF) as client:
            return await ask(client, questions)

    return asyncio.run(asked())


async def ask(client: Client, questions: Iterable[Question]) -> Answers:
    """The answers through an open client. Raises ServiceError, the first that came."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {question: group.create_task(_answer(client, question)) for question in questions}
    except ExceptionGroup as found:
        raise found.exceptions[0] from None
    given = {question: task.result() for question, task in tasks.items()}
    if None in given.values():
        await _require_api(client)
    return given


async def _answer(client: Client, question: Question) -> str | None:
    try:
        return await (_model(client, question.id) if question.kind == "deployment" else _version(client, question.id))
    except ServiceError as error:
        if error.status == 404:
            return None
        raise


async def _model(client: Client, deployment_id: str) -> str:
    """The identity of a deployed model: a replacement changes at least the time."""
    found = await client.deployment(deployment_id)
    model, package = found.model, found.model_package
    return value_digest(
        {"model": model and model.id, "deployedAt": model and model.deployed_at, "modelPackage": package and package.id},
    )


async def _version(client: Client, dataset_id: str) -> str:
    return version_digest((await client.dataset(dataset_id)).version_id or "")


async def _require_api(client: Client) -> None:
    """A server that knows no such thing may be another one than was meant: the API itself lists jobs. Raises ServiceError."""
    async for _ in client.jobs(limit="1"):
        return
