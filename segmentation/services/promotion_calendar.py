"""The promotion calendar: whether publishing is frozen now, and what an override leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from segmentation.domain.definitions import Label
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.windows import local_day
from segmentation.models import PromotionEvent

from .wording import in_language

FROZEN = "frozen"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Freeze:
    """Nothing is published up to and including `until`, a day in the promotion's zone."""

    key: str
    label: Label
    until: date
    timezone: str


def freeze_at(now: datetime) -> Freeze | None:
    """The freeze that `now` (the project's clock) lies in, of several the one that ends last."""
    day = now.date()  # no zone is further than a day away
    near = PromotionEvent.objects.filter(
        freeze_from__lte=day + _DAY, freeze_until__gte=day - _DAY
    ).order_by("-freeze_until", "key")
    for row in near:
        today = local_day(now, ZoneInfo(row.timezone))
        if row.freeze_from and row.freeze_until and row.freeze_from <= today <= row.freeze_until:
            label = Label(row.label_en, row.label_zh_hans)
            return Freeze(row.key, label, row.freeze_until, row.timezone)
    return None


def refuse_frozen(now: datetime, *, reason: str, override: str, may_override: bool) -> str:
    """The reason under which something may be published now: as given, or in a freeze with why it
    can't wait. Raises `frozen` in a freeze without `override`, `forbidden` with one that is not
    this person's to give. `now`: the project's clock."""
    freeze = freeze_at(now)
    if freeze is None:
        return reason
    if not override.strip():
        message = _(
            "Publishing is frozen for “%(promotion)s” (%(key)s) up to and including %(until)s."
        ) % {"promotion": in_language(freeze.label), "key": freeze.key, "until": freeze.until}
        raise TierwiseError(message, code=FROZEN, problems=(Problem("", FROZEN, message),))
    if not may_override:
        message = _("Your role may not publish while publishing is frozen.")
        raise TierwiseError(
            message, code="forbidden", problems=(Problem("", "forbidden", message),)
        )
    return _("%(reason)s – although publishing is frozen for %(key)s: %(why)s") % {
        "reason": reason.strip(),
        "key": freeze.key,
        "why": override.strip(),
    }


def overlapping(row: PromotionEvent) -> QuerySet[PromotionEvent]:
    """Other promotions of the kind that share a day with this one."""
    found = PromotionEvent.objects.filter(
        kind=row.kind, starts_on__lte=row.ends_on, ends_on__gte=row.starts_on
    )
    return found.exclude(pk=row.pk)
