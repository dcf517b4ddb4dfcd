"""What runs later. Messages only wake a worker; the database holds the work."""

from __future__ import annotations

from celery import shared_task

from config.clock import real_now
from segmentation.services import jobs, request_keys


@shared_task(name="segmentation.tasks.execute_due_jobs")
def execute_due_jobs() -> int:
    """Do every job that waits, oldest first; returns how many."""
    done = 0
    while jobs.execute_next_job(clock=real_now) is not None:
        done += 1
    return done


@shared_task(name="segmentation.tasks.remove_old_job_files")
def remove_old_job_files() -> int:
    """Remove the files of jobs that ended long ago, and what outside systems asked for long ago
    and will not repeat; returns of how many jobs."""
    request_keys.forget_old_keys(now=real_now())
    return jobs.remove_old_files(now=real_now())
