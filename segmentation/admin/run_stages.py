"""What the stages of a run cost, as a table."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from segmentation.models import Run
from segmentation.permissions import row_scope

from . import shown

STAGES = {
    "mirror": _("Mirror"),
    "plan": _("Plan"),
    "facts": _("Facts"),
    "metrics": _("Metrics"),
    "cuts": _("Cut points"),
    "rules": _("Rules"),
    "tiers": _("Tiers"),
    "snapshot": _("Snapshot"),
    "bitmaps": _("Segment results"),
    "hashes": _("Result hash"),
    "parity": _("Parity check"),
    "breaker": _("Size breaker"),
    "postgresql": _("Writing to PostgreSQL"),
    "total": _("Total"),
}
_MEGABYTE = 1024 * 1024


def stage_words(stage: str) -> str:
    """A stage in words; an unknown one as it is."""
    return str(STAGES.get(stage, stage))


def stages_table(run: Run, *, user: Any) -> shown.Table:
    """Seconds, rows and largest memory per stage. Rows count the customers of all stores, so they
    are shown to those who see all."""
    timed = {stage: float(value) for stage, value in run.seconds.items() if stage != "total"}
    whole = sum(timed.values()) or 1.0
    order = list(STAGES)
    counts_are_seen = row_scope(user) is None
    rows = [
        (
            stage_words(stage),
            f"{value:.2f}",
            shown.count(run.rows.get(stage)) if counts_are_seen else shown.EMPTY,
            megabytes(run.memory.get(stage)),
            format_html(
                '<span class="tw-bar tw-wide"><span style="width: {}%"></span></span> {} %',
                round(value * 100 / whole),
                round(value * 100 / whole),
            ),
        )
        for stage, value in sorted(
            timed.items(), key=lambda item: order.index(item[0]) if item[0] in STAGES else 99
        )
    ]
    return shown.Table(
        _("Time per stage"),
        (_("stage"), _("seconds"), _("rows"), _("largest memory"), _("share of the run")),
        rows,
        empty=_("Nothing was timed yet."),
        note=_spilled(run),
        numeric=frozenset({1, 2, 3}),
    )


def megabytes(size: int | None) -> str:
    """A size of memory or of a disk."""
    return shown.EMPTY if size is None else f"{size / _MEGABYTE:,.0f} MB"


def _spilled(run: Run) -> str:
    if not run.spilled:
        return ""
    text = gettext("%(size)s did not fit into the memory of the computation and went to disk.")
    return text % {"size": megabytes(run.spilled)}
