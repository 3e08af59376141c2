"""A job as the API shows it. The rule here: every field of the contract is there, null where nothing is known."""

from pathlib import Path
from typing import Any

from reconciler.fingerprint import short_id
from reconciler.service.job import Job


def job_resource(job: Job, self_link: str) -> dict[str, Any]:
    return {
        "id": job.id,
        "status": job.status,
        "statusDetails": job.logs[-1],
        "queued": job.status == "INITIALIZING",
        "queuePosition": job.queue_position,
        "created": job.created,
        "createdBy": {"userId": short_id(f"user:{job.username}"), "username": job.username, "fullName": None},
        "source": job.source,
        "batchJobType": job.spec["batchJobType"],
        "batchPredictionJobDefinition": job.definition,
        "monitoringBatchId": None,
        "hidden": job.hidden,
        "resultsDeleted": False,
        "intakeDatasetDisplayName": Path(job.intake_path).name,
        "logs": list(job.logs),
        "links": {"self": self_link, "csvUpload": None, "download": None},
        "jobSpec": job.spec | {"redactedFields": []},
    } | _counters(job)


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
