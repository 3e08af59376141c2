"""A job as the API shows it. The rule here: every field of the contract is there, null where nothing is known."""

from typing import Any

from reconciler.confidential import redacted, redacted_fields
from reconciler.fingerprint import short_id
from reconciler.service.job import Job
from reconciler.service.places import shown_name
from reconciler.service.status import has_ended


def job_resource(job: Job, self_link: str) -> dict[str, Any]:
    return {
        "id": job.id,
        "status": job.status,
        "statusDetails": job.logs[-1],
        "queued": job.queue_position is not None,
        "queuePosition": job.queue_position,
        "created": job.created,
        "createdBy": {"userId": short_id(f"user:{job.username}"), "username": job.username, "fullName": None},
        "source": job.source,
        "batchJobType": job.spec["batchJobType"],
        "batchPredictionJobDefinition": job.definition,
        "monitoringBatchId": None,
        "hidden": job.hidden,
        "resultsDeleted": job.results_deleted,
        "intakeDatasetDisplayName": job.dataset_name or shown_name(job.spec["intakeSettings"]),
        "logs": list(job.logs),
        "links": _links(job, self_link),
        "jobSpec": redacted(job.spec) | {"redactedFields": redacted_fields(job.spec)},
    } | _counters(job)


def _links(job: Job, self_link: str) -> dict[str, str | None]:
    """Absent is null, never an empty text, which the official client takes for a link."""
    return {
        "self": self_link,
        "csvUpload": f"{self_link}csvUpload/" if job.upload in ("awaited", "begun") and not has_ended(job.status) else None,
        "download": f"{self_link}download/" if job.has_download else None,
    }


def _counters(job: Job) -> dict[str, Any]:
    counts = job.counts
    return {
        "percentageCompleted": counts.percentage,
        "elapsedTimeSec": counts.elapsed,
        "scoredRows": counts.scored_rows,
        "failedRows": counts.failed_rows,
        "skippedRows": counts.skipped_rows,
        "jobIntakeSize": counts.intake_size,
        "jobOutputSize": counts.output_size,
    }
