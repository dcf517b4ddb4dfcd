"""What only the whole catalog can tell about a program: its time zone, its warnings."""

from __future__ import annotations

from collections.abc import Iterator

from segmentation.domain.definitions import FactMetric, Window
from segmentation.domain.dependencies import Ref
from segmentation.domain.reading import Entry, pointer
from segmentation.domain.reading.checks import Candidate, Finding

DAY_WINDOWS = ("days", "months", "calendar")
DAY_AGGREGATES = ("days_since_last", "days_since_first", "active_days")


def uses_local_days(metric: FactMetric) -> bool:
    """Whether the metric's value depends on where a local day starts."""
    return (
        metric.window.kind in DAY_WINDOWS
        or metric.aggregate.fn in DAY_AGGREGATES
        or metric.matured_days is not None
        or metric.aggregate.converted_within_days is not None
    )


def _fact_metrics(candidate: Candidate, ref: Ref) -> Iterator[FactMetric]:
    for reached in candidate.reach(ref):
        entry = candidate.entries.get(reached)
        if entry is not None and isinstance(entry.definition, FactMetric):
            yield entry.definition


def check_zone(
    candidate: Candidate, entry: Entry, *, timezone: str, project_zone: str
) -> Iterator[Finding]:
    """A program in a zone of its own can't use metrics that count the project's local days."""
    if timezone == project_zone:
        return
    for use in entry.uses:
        for metric in _fact_metrics(candidate, use.ref):
            if uses_local_days(metric):
                message = (
                    f'The rule uses "{metric.key}", which counts local days of {project_zone}; '
                    f"with such rules the time zone must be {project_zone}, not {timezone}."
                )
                path = pointer(entry.path, "timezone")
                yield Finding(entry.ref, path, "zone_mismatch", message, Ref("metric", metric.key))
                return


def slow_upgrades(candidate: Candidate, entry: Entry) -> Iterator[tuple[Ref, str, str]]:
    """Where an immediate upgrade waits until midnight: the metric, the place of its use and the
    sentence that says so."""
    told: set[tuple[str, str]] = set()
    for use in entry.uses:
        for metric in _fact_metrics(candidate, use.ref):
            if _leaves_today_out(metric.window) and (use.path, metric.key) not in told:
                told.add((use.path, metric.key))
                yield (
                    Ref("metric", metric.key),
                    use.path,
                    f'"{metric.key}" never counts a fact of today, so an upgrade is not '
                    "immediate; add to_now: true to its window if it should be.",
                )


def _leaves_today_out(window: Window) -> bool:
    return window.kind in ("days", "months") and not window.to_now
