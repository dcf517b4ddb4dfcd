"""Jobs as rows with their files, for tests of pages."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse

from config.clock import real_now
from segmentation.models import Job
from segmentation.services.jobs import job_folder


def page(name: str, job: Job) -> str:
    return reverse(f"admin:segmentation_job_{name}", args=[job.pk])


def finished(kind: str, *, user: User, **values: Any) -> Job:
    now = real_now()
    return Job.objects.create(
        **{
            "kind": kind,
            "requested_by": user,
            "actor": user.get_username(),
            "status": "done",
            "requested_at": now,
            "started_at": now,
            "finished_at": now,
            **values,
        }
    )


def with_file(job: Job, content: bytes = b"rows") -> Job:
    job_folder(job.pk).mkdir(parents=True)
    (job_folder(job.pk) / "result").write_bytes(content)
    return job


def exported(user: User, **values: Any) -> Job:
    """A finished export of customers with its file."""
    parameters = {"source": "customers", "format": "csv", "parameters": {"query": {}}}
    result = {
        "source": "customers", "rows": 4, "personal": [], "stores": None,
        "by_hidden_viewer": False,
    }  # fmt: skip
    given: dict[str, Any] = {
        "parameters": parameters, "result": result, "result_file": "customers.csv",
        "subject": "rows:customers",
    }  # fmt: skip
    return with_file(finished("export", user=user, **{**given, **values}))
