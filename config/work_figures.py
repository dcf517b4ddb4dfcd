"""How far behind work is, as Prometheus figures: numbers, kinds and states, never a name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count, Max, Min
from prometheus_client.core import GaugeMetricFamily, Metric

from segmentation.models import FactBatch, Job, Run

_OPEN = (Run.Status.QUEUED, Run.Status.RUNNING)


def work_figures(*, now: datetime) -> Iterator[Metric]:
    """`now` is the real clock's."""
    yield _one(
        "tierwise_mirror_lag_seconds",
        "Age of the oldest batch that the mirror has not taken yet, 0 without one",
        _age(FactBatch.objects.filter(generation=None).aggregate(at=Min("recorded_at"))["at"], now),
    )
    yield _queue_age(now=now)
    jobs = GaugeMetricFamily("tierwise_jobs", "Jobs by status", labels=["status"])
    found = dict(Job.objects.values_list("status").annotate(n=Count("pk")).order_by())
    for status in Job.Status.values:
        jobs.add_metric([status], found.get(status, 0))
    yield jobs
    yield _one(
        "tierwise_run_attempts",
        "Attempts of the run that waits or is under way, the most of them; 0 without one",
        Run.objects.filter(status__in=_OPEN).aggregate(n=Max("attempts"))["n"] or 0,
    )
    ended = GaugeMetricFamily(
        "tierwise_last_run_age_seconds", "Seconds since a run ended last, however it ended"
    )
    newest = Run.objects.aggregate(at=Max("finished_at"))["at"]
    if newest is not None:
        ended.add_metric([], _age(newest, now))
    yield ended
    memory = GaugeMetricFamily(
        "tierwise_run_memory_bytes", "Largest resident memory of the newest published run"
    )
    last = Run.objects.filter(status=Run.Status.PUBLISHED).order_by("-finished_at")
    for sizes in last.values_list("memory", flat=True)[:1]:
        if sizes:
            memory.add_metric([], max(sizes.values()))
    yield memory


def _queue_age(*, now: datetime) -> Metric:
    """A run that makes a pause after a failed attempt waits as well: it is late all the same."""
    age = GaugeMetricFamily(
        "tierwise_queue_age_seconds",
        "Age of the oldest run and job that wait for a worker, by kind; 0 without one",
        labels=["kind"],
    )
    waiting = Run.objects.filter(status=Run.Status.QUEUED)
    age.add_metric(["run"], _age(waiting.aggregate(at=Min("requested_at"))["at"], now))
    jobs = Job.objects.filter(status=Job.Status.QUEUED).values_list("kind").order_by()
    for kind, at in jobs.annotate(at=Min("requested_at")):
        age.add_metric([kind], _age(at, now))
    return age


def _age(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else max((now - at).total_seconds(), 0.0)


def _one(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)
