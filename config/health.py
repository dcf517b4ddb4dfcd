"""Is it alive, can it work, and its figures."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count, Max
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from kombu import Connection
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from membership.models import Alert, AlertKind
from segmentation.models import Customer, FactBatch, MirrorManifest, Run
from segmentation.queries import installation
from segmentation.services.marks import waiting_marks

from .celery import app
from .clock import now, real_now
from .work_figures import work_figures


@require_safe
@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(_request: HttpRequest) -> JsonResponse:
    """200 when database, set-up and broker can do their work, else 503 and which can not."""
    checks = {"database": _database(), "broker": _broker()}
    is_ready = all(found == "ok" for found in checks.values())
    status = "ok" if is_ready else "unavailable"
    return JsonResponse({"status": status, "checks": checks}, status=200 if is_ready else 503)


def _database() -> str:
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "migrations missing"
        return "ok" if installation() else "not set up"
    except Exception:  # whatever it is, the answer is the same and says nothing of the inside
        return "unavailable"


def _broker() -> str:
    try:
        with Connection(
            app.conf.broker_url,
            transport_options=app.conf.broker_transport_options,
            connect_timeout=2,
        ) as broker:
            broker.ensure_connection(max_retries=1, timeout=2)
        return "ok"
    except Exception:
        return "unavailable"


class _Figures(Collector):
    """Read from the database when asked, so every web process gives the same answer.

    No name of a segment, program or customer is among them.
    """

    def collect(self) -> Iterator[Metric]:
        runs = GaugeMetricFamily("tierwise_runs", "Runs by status", labels=["status"])
        found = dict(Run.objects.values_list("status").annotate(n=Count("pk")).order_by())
        for status in Run.Status.values:
            runs.add_metric([status], found.get(status, 0))
        yield runs
        published = Run.objects.filter(status=Run.Status.PUBLISHED)
        newest = published.aggregate(newest=Max("finished_at"))["newest"]
        age = GaugeMetricFamily(
            "tierwise_published_run_age_seconds", "Seconds since the newest published run ended"
        )
        if newest is not None:
            age.add_metric([], (real_now() - newest).total_seconds())
        yield age
        seconds = GaugeMetricFamily(
            "tierwise_run_stage_seconds", "Seconds per stage, newest run", labels=["stage"]
        )
        last = published.order_by("-finished_at").first()
        for stage, value in (last.seconds if last else {}).items():
            seconds.add_metric([stage], float(value))
        yield seconds
        yield GaugeMetricFamily(
            "tierwise_customers",
            "Customers ever recorded",
            value=(Customer.objects.aggregate(n=Max("ordinal"))["n"] or 0)
            + (1 if Customer.objects.exists() else 0),
        )
        yield GaugeMetricFamily(
            "tierwise_fact_batches_waiting",
            "Batches that the mirror has not taken yet",
            value=FactBatch.objects.filter(generation=None).count(),
        )
        yield from work_figures(now=real_now())
        yield from _marks()
        yield _alerts()
        yield GaugeMetricFamily(
            "tierwise_mirror_generation",
            "Newest generation of the mirror",
            value=MirrorManifest.objects.aggregate(n=Max("generation"))["n"] or 0,
        )


def _marks() -> Iterator[Metric]:
    """What the instant path has before it."""
    waiting = waiting_marks(now=now())
    yield GaugeMetricFamily(
        "tierwise_marks_waiting",
        "Facts from the API whose customers' tiers nobody has looked at, at most 100,000",
        value=waiting.marks,
    )
    yield GaugeMetricFamily(
        "tierwise_oldest_mark_age_seconds",
        "Seconds since the oldest of these facts came in, 0 without one",
        value=(real_now() - waiting.oldest).total_seconds() if waiting.oldest else 0,
    )
    yield GaugeMetricFamily(
        "tierwise_marks_failing",
        "Of these, how many failed before and wait for another attempt",
        value=waiting.failing,
    )


def _alerts() -> Metric:
    """By kind, those that are not over, also the acknowledged ones."""
    family = GaugeMetricFamily("tierwise_alerts_open", "Alerts not resolved", labels=["kind"])
    unresolved = Alert.objects.exclude(state=Alert.State.RESOLVED).order_by()
    found = dict(unresolved.values_list("rule__kind").annotate(n=Count("pk")))
    for kind in AlertKind.values:
        family.add_metric([kind], found.get(kind, 0))
    return family


@require_safe
@never_cache
def metrics(_request: HttpRequest) -> HttpResponse:
    """Prometheus text."""
    registry = CollectorRegistry()
    registry.register(_Figures())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
