"""Why a run is held, in words; nothing about a segment that the reader may not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.breaker import Finding
from segmentation.models import PromotionEvent, Run, Segment
from segmentation.permissions import row_scope
from segmentation.queries import newest_published_run
from segmentation.services.held_runs import held_run, seen_findings

from . import shown
from .facts import KIND_WORDS

VIEW_RUN = "segmentation.view_run"


def told_findings(run: Run, *, user: Any) -> tuple[Finding, ...]:
    """The reasons this person may know; their numbers count the customers of all stores."""
    if not user.has_perm(VIEW_RUN) or row_scope(user) is not None:
        return ()
    return seen_findings(run, viewer=user)


def short_reasons(run: Run, *, user: Any, most: int = 2) -> str:
    """The first reasons in a line each, as “Orders on 2018-01-01: 0 instead of about 250”."""
    found = told_findings(run, user=user)
    names = segment_rows(found)
    lines = [_short(finding, names) for finding in found[:most]]
    if len(found) > most:
        lines.append(_("%(count)s more reasons") % {"count": len(found) - most})
    return " · ".join(lines)


def segment_rows(findings: Sequence[Finding]) -> dict[str, Segment]:
    """The segments that findings are about, by key."""
    keys = {finding.key for finding in findings if finding.kind == "segment"}
    rows = Segment.objects.filter(key__in=keys).defer("document") if keys else ()
    return {row.key: row for row in rows}


def _short(finding: Finding, names: Mapping[str, Segment]) -> str:
    numbers = {"after": shown.count(finding.after), "before": shown.count(finding.before)}
    if finding.kind == "volume":
        return _("%(source)s on %(day)s: %(after)s instead of about %(before)s") % {
            "source": KIND_WORDS[finding.key],
            "day": finding.day,
            **numbers,
        }
    return _("Segment “%(name)s”: %(after)s members instead of about %(before)s") % {
        "name": _name(finding, names),
        **numbers,
    }


def _name(finding: Finding, names: Mapping[str, Segment]) -> str:
    row = names.get(finding.key)
    return finding.key if row is None else shown.label(row)


def reasons_table(run: Run, *, user: Any) -> shown.Table:
    """What was found, what was expected, and what would have passed."""
    found = told_findings(run, user=user)
    names = segment_rows(found)
    keys = {key for each in found for key in (each.promotion, each.compared) if key}
    rows = PromotionEvent.objects.filter(key__in=keys) if keys else ()
    promotions = {row.key: shown.label(row) for row in rows}
    return shown.Table(
        _("Why it would be held") if run.is_dry_run else _("Why it was held"),
        (_("what"), _("found"), _("expected"), _("would have passed"), _("measured by")),
        [
            (
                _what(finding, names, user=user),
                shown.count(finding.after),
                shown.count(finding.before),
                passing_words(finding),
                _measure(finding, promotions),
            )
            for finding in found
        ],
        empty=_("Your role does not show the reasons."),
        numeric=frozenset({1, 2}),
    )


def _what(finding: Finding, names: Mapping[str, Segment], *, user: Any) -> SafeString | str:
    if finding.kind == "volume":
        text = _("%(source)s on %(day)s") % {
            "source": KIND_WORDS[finding.key],
            "day": finding.day,
        }
        return text
    row = names.get(finding.key)
    if row is None or not user.has_perm("segmentation.view_segment"):
        return _name(finding, names)
    return shown.link("segmentation_segment_change", args=[row.pk], text=shown.label(row))


def passing_words(finding: Finding) -> str:
    """The numbers that would not have held the run."""
    if finding.high is None:
        return _("%(low)s and more") % {"low": shown.count(finding.low)}
    return _("%(low)s to %(high)s") % {
        "low": shown.count(finding.low),
        "high": shown.count(finding.high),
    }


_MEASURES = {
    ("segment", "change"): gettext_lazy("the last published run, at most 30 %% more or fewer"),
    ("segment", "spread"): gettext_lazy(
        "its size in the last published runs, at most 3 standard deviations away"
    ),
    ("segment", "promotion"): gettext_lazy(
        "the same day of the promotion “%(compared)s”, at most 30 %% more or fewer"
    ),
    ("segment", "first_promotion"): gettext_lazy(
        "the run before the promotion “%(promotion)s”, at most 30 %% fewer; there was no earlier "
        "one of its kind"
    ),
    ("volume", "volume"): gettext_lazy(
        "the usual number on this weekday, between half and two and a half times that"
    ),
    ("volume", "promotion"): gettext_lazy(
        "the same day of the promotion “%(compared)s”, between half and two and a half times that"
    ),
    ("volume", "first_promotion"): gettext_lazy(
        "the usual number on this weekday, at least half; the promotion “%(promotion)s” has no "
        "earlier one of its kind"
    ),
}


def _measure(finding: Finding, promotions: Mapping[str, str]) -> str:
    return str(_MEASURES[finding.kind, finding.check]) % {
        "promotion": promotions.get(finding.promotion, finding.promotion),
        "compared": promotions.get(finding.compared, finding.compared),
    }


def held_note(*, user: Any) -> SafeString | str:
    """“As of X; run N of Y is held” beside current results; "" when none is held: one query."""
    held = held_run()
    return "" if held is None else held_words(held, newest_published_run(), user=user)


def held_words(held: Run, published: Run | None, *, user: Any) -> SafeString:
    """That the results of `published` stay what everybody reads while `held` waits."""
    number = str(held.pk)
    if user.has_perm(VIEW_RUN):
        address = reverse("admin:segmentation_run_change", args=[held.pk])
        number = shown.address_link(address, text=number)
    return format_html(
        _("As of {as_of}. Run {run} of {held_as_of} is held; until somebody decides, this stays."),
        as_of=shown.instant(published.as_of if published else None),
        run=number,
        held_as_of=shown.instant(held.as_of),
    )
