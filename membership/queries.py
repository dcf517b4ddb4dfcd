"""Reads that join what we know about customers with what we promise them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from membership.domain.definition_sets import read_definition_set
from membership.domain.programs import Program
from segmentation.domain.definitions import Catalog
from segmentation.domain.errors import NotFoundError
from segmentation.domain.values import shown
from segmentation.engine.local_days import from_micros
from segmentation.engine.snapshots import (
    CustomerSnapshot,
    external_ids,
    read_customer,
    read_memberships,
)
from segmentation.models import Customer, DefinitionSet, Objection, Run, RunCount, living
from segmentation.queries import newest_published_run, run_answering, segment_members, withdrawn


@dataclass(frozen=True, slots=True)
class MembershipState:
    """A membership after a run; aware UTC instants."""

    tier: str
    rank: int
    since: datetime
    until: datetime | None
    grace_until: datetime | None


def load_definition_set(stored: DefinitionSet) -> tuple[Catalog, tuple[Program, ...]]:
    """The catalog and programs of a set, exactly as they were when it was made (case P08)."""
    return read_definition_set(stored.document)


def memberships_at(run: Run | None, external_id: str) -> dict[str, MembershipState]:
    """A customer's memberships after a run, by program key; none without a run."""
    if run is None:
        return {}
    return {row["program"]: _state(row) for row in read_memberships(run, external_id=external_id)}


def run_before(
    base: Run | None, *, as_of: datetime, watermark: int | None, definition_set_id: int | None
) -> Run | None:
    """The run whose memberships a run's `tier` leaves read: that before it, `base`.

    Made again at the same as-of from the same facts and definitions, a run reads what the first
    one read: else the second would find other segments and tiers than the first.
    """
    while base is not None and (base.as_of, base.watermark, base.definition_set_id) == (
        as_of,
        watermark,
        definition_set_id,
    ):
        base = base.base_run
    return base


def metric_values(run: Run, external_id: str) -> dict[str, Fraction | None]:
    """Every metric of a customer at a run, exact; empty for a customer the run did not know."""
    snapshot = read_customer(run, external_id, load_definition_set(_definitions(run))[0])
    return {} if snapshot is None else snapshot.metrics


def run_document(run: Run) -> dict[str, Any]:
    """A run as the contract shows it."""
    document: dict[str, Any] = {
        "run": run.pk,
        "as_of": run.as_of.astimezone(ZoneInfo(settings.TIME_ZONE)).isoformat(),
        "status": run.status,
    }
    if run.status in (Run.Status.QUEUED, Run.Status.RUNNING):
        return document
    if run.status == Run.Status.FAILED:
        return {**document, "error": run.error}
    found: dict[str, dict[str, dict[str, int]]] = {"tag": {}, "layer": {}, "tier": {}}
    for kind, key, value, size in (
        RunCount.objects.filter(run=run).order_by("pk").values_list("kind", "key", "value", "size")
    ):
        found[kind].setdefault(key, {})[value] = size
    if run.status == Run.Status.DRY_RUN:
        document["would_be_held"] = run.held_reasons
    sizes = run.segment_results.order_by("segment__key").values_list("segment__key", "size")
    return {
        **document,
        "segments": dict(sizes),
        "tags": found["tag"],
        "layers": found["layer"],
        "programs": found["tier"],
        "seconds": run.seconds,
    }


def segment_document(key: str, *, as_of: datetime | None) -> dict[str, Any]:
    """A segment's members at the run that answers, ids sorted by code point."""
    run = run_answering(as_of)
    members = segment_members(run, key)
    ids = external_ids(run, members)
    return {**_answer(run), "key": key, "size": len(members), "members": ids}


def program_document(key: str, *, as_of: datetime | None) -> dict[str, Any]:
    """A program's members at the run that answers; times in the program's zone."""
    run = run_answering(as_of)
    program = _program(run, key)
    zone = ZoneInfo(program.timezone)
    erased = withdrawn().erased
    members = [
        {
            "customer_id": row["external_id"],
            "tier": row["tier"],
            "since": _local(row["since"], zone),
            "until": _local(row["until"], zone),
        }
        for row in read_memberships(run, program=key)
        if row["ordinal"] not in erased
    ]
    members.sort(key=lambda member: str(member["customer_id"]))
    return {"program": key, **_answer(run), "members": members}


def profile_document(external_id: str) -> dict[str, Any]:
    """The portrait of one customer at the newest published run."""
    run = run_answering()
    catalog, programs = load_definition_set(_definitions(run))
    # The row first: the files of a run may still know somebody who was erased since.
    if not Customer.objects.filter(living(), external_id=external_id).exists():
        raise NotFoundError(f"There is no customer {external_id}.")
    snapshot = read_customer(run, external_id, catalog)
    if snapshot is None:
        raise NotFoundError(
            f"Customer {external_id} was recorded after the last run; run recompute."
        )
    # An objection counts at once, not only from the next run on.
    objects = Objection.objects.filter(customer__external_id=external_id).exists()
    zones = {program.key: ZoneInfo(program.timezone) for program in programs}
    held = read_memberships(run, external_id=external_id)
    return {
        "customer_id": external_id,
        **_answer(run),
        "metrics": shown_metrics(snapshot, catalog.metrics),
        "tags": snapshot.tags,
        "layers": snapshot.layers,
        "memberships": [
            {
                "program": row["program"],
                "tier": row["tier"],
                "since": _local(row["since"], zones.get(row["program"])),
                "until": _local(row["until"], zones.get(row["program"])),
            }
            for row in sorted(held, key=lambda row: str(row["program"]))
        ],
        "segments": sorted(
            key
            for key, member in snapshot.segments.items()
            if member and not (objects and catalog.segments[key].visibility == "hidden")
        ),
    }


def shown_metrics(snapshot: CustomerSnapshot, metrics: Mapping[str, Any]) -> dict[str, str | None]:
    """Metrics as texts in their unit."""
    return {
        key: shown(value, unit=metrics[key].unit, currency=settings.BASE_CURRENCY)
        for key, value in snapshot.metrics.items()
    }


def _answer(run: Run) -> dict[str, Any]:
    return {
        "as_of": run.as_of.astimezone(ZoneInfo(settings.TIME_ZONE)).isoformat(),
        "run": run.pk,
    }


def _definitions(run: Run) -> DefinitionSet:
    if run.definition_set is None:
        raise NotFoundError(f"Run {run.pk} has no definitions.")
    return run.definition_set


def _program(run: Run, key: str) -> Program:
    for program in load_definition_set(_definitions(run))[1]:
        if program.key == key:
            return program
    raise NotFoundError(f"Run {run.pk} has no program {key}.")


def _state(row: Mapping[str, Any]) -> MembershipState:
    return MembershipState(
        tier=row["tier"],
        rank=row["rank"],
        since=from_micros(row["since"]),
        until=None if row["until"] is None else from_micros(row["until"]),
        grace_until=None if row["grace_until"] is None else from_micros(row["grace_until"]),
    )


def _local(value: int | None, zone: ZoneInfo | None) -> str | None:
    if value is None:
        return None
    return from_micros(value).astimezone(zone or ZoneInfo(settings.TIME_ZONE)).isoformat()


__all__ = [
    "MembershipState",
    "load_definition_set",
    "memberships_at",
    "metric_values",
    "newest_published_run",
    "profile_document",
    "program_document",
    "run_before",
    "run_document",
    "segment_document",
    "shown_metrics",
]
