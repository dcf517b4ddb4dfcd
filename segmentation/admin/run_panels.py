"""The tables of a run's page: sizes, stages, disagreements, log; nothing the reader may not know.

Stored sizes count the customers of all stores. Whoever sees some stores only gets the sizes of
segments cut to those, and no other counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from pyroaring import BitMap

from segmentation.models import Layering, Run, RunCount, SegmentResult, TagGroup
from segmentation.permissions import (
    Sight,
    hidden_words,
    mentions_hidden,
    sight,
    visible_customers,
    visible_results,
)

from . import shown
from .definitions import visibility_badge
from .log_lines import log_rows
from .run_stages import stages_table

TierNames = Mapping[tuple[str, str], tuple[str, str]]
_MOST_DISAGREEMENTS = 50
_SIZE = '<span class="tw-size">{} <strong>{}</strong></span>'


def run_panels(run: Run, *, user: Any, tiers: TierNames) -> tuple[shown.Table, ...]:
    """Sizes, stages and log of one run, as this user may see them."""
    seen = sight(user)
    by_kind: dict[str, list[RunCount]] = {}
    if seen.only is None:
        counts = run.counts.order_by("kind", "key", "pk")
        by_kind = {kind: list(rows) for kind, rows in groupby(counts, key=lambda row: row.kind)}
    return (
        stages_table(run, user=user),
        *_disagreements(run, user=user),
        *_segment_sizes(run, user=user, seen=seen),
        *_sizes(_("Tiers"), by_kind.get(RunCount.Kind.TIER, []), {}, tiers),
        *_sizes(_("Layers"), by_kind.get(RunCount.Kind.LAYER, []), _labels(Layering), {}),
        *_sizes(_("Tags"), by_kind.get(RunCount.Kind.TAG, []), _labels(TagGroup), {}),
        _log(run, user=user),
    )


def _segment_sizes(run: Run, *, user: Any, seen: Sight) -> tuple[shown.Table, ...]:
    if not user.has_perm("segmentation.view_segmentresult"):
        return ()
    results = (
        visible_results(user)
        .filter(run=run)
        .select_related("segment")
        .defer("segment__document")
        .order_by("segment__key")
    )
    if all(seen.sees_all(is_hidden=is_hidden) for is_hidden in (True, False)):
        results = results.defer("members", "entered", "left", "segment__document")
    rows = [
        (
            shown.link(
                "segmentation_segment_change", args=[row.segment_id], text=shown.label(row.segment)
            ),
            visibility_badge(is_hidden=row.segment.is_hidden),
            *_seen_sizes(row, seen),
        )
        for row in results
    ]
    headers = (_("segment"), _("visibility"), _("members"), _("entered"), _("left"))
    return (
        shown.Table(
            _("Segments"),
            headers,
            rows,
            empty=_("This run published no segment."),
            numeric=frozenset({2, 3, 4}),
        ),
    )


def _seen_sizes(row: SegmentResult, seen: Sight) -> tuple[str, str, str]:
    is_hidden = row.segment.is_hidden
    if seen.sees_all(is_hidden=is_hidden):
        sizes = row.size, row.entered_count, row.left_count
    else:
        stored = (row.members, row.entered, row.left)
        cut = [
            seen.members(BitMap.deserialize(bytes(each)), is_hidden=is_hidden) for each in stored
        ]
        sizes = len(cut[0]), len(cut[1]), len(cut[2])
    return shown.count(sizes[0]), shown.change(sizes[1]), shown.change(-sizes[2])


def _labels(model: Any) -> dict[str, str]:
    return {row.key: shown.label(row) for row in model.objects.defer("document")}


def _sizes(
    title: Any, counts: list[RunCount], labels: Mapping[str, str], pairs: TierNames
) -> tuple[shown.Table, ...]:
    """One row for each key, with the sizes of its values in their order."""
    if not counts:
        return ()
    rows = []
    for key, values in groupby(counts, key=lambda row: row.key):
        found = list(values)
        names = [pairs.get((key, row.value), (labels.get(key, key), row.value)) for row in found]
        sizes = (
            (name, shown.count(row.size)) for (_key, name), row in zip(names, found, strict=True)
        )
        rows.append((names[0][0], format_html_join("", _SIZE, sizes)))
    return (shown.Table(title, (_("name"), _("number of customers")), rows),)


def _disagreements(run: Run, *, user: Any) -> tuple[shown.Table, ...]:
    """Where the oracle and the engine differ, about customers and things this user may know."""
    found = run.parity_mismatches[:_MOST_DISAGREEMENTS]
    if not found:
        return ()
    words = hidden_words(user)
    names = {row["customer_id"] for row in found}
    known = dict(
        visible_customers(user).filter(external_id__in=names).values_list("external_id", "pk")
    )
    rows = [
        (
            shown.link(
                "segmentation_customer_change",
                args=[known[row["customer_id"]]],
                text=row["customer_id"],
            ),
            row["subject"],
            row.get("oracle", shown.EMPTY),
            row.get("engine", shown.EMPTY),
        )
        for row in found
        if row["customer_id"] in known
        and not mentions_hidden(
            f"{row['subject']} {row.get('oracle')} {row.get('engine')}", words=words
        )
    ]
    return (
        shown.Table(
            _("Parity check"),
            (_("customer"), _("about"), _("oracle"), _("engine")),
            rows,
            empty=_("The differences are about what you may not see."),
            note=_("A second, slow computation of a sample of customers found something else."),
        ),
    )


def _log(run: Run, *, user: Any) -> shown.Table:
    return shown.Table(
        _("Log"),
        (_("time"), _("message")),
        log_rows(run.log, words=hidden_words(user)),
        empty=_("The log is empty."),
    )
