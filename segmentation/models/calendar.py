"""The promotion calendar: when sales differ from what is usual, and when nothing is published."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value
from django.utils.translation import gettext_lazy as _

from .definitions import track

# A text as a range of one number, so that GiST compares it without a database extension.
_HASH = Func(F("kind"), Value(0), function="hashtextextended")
_SAME_KIND = Func(_HASH, _HASH, Value("[]"), function="int8range")
_DAYS = Func(F("starts_on"), F("ends_on"), Value("[]"), function="daterange")


@track
class PromotionEvent(models.Model):
    """One promotion of a kind that comes again (double 11, spring sale), with its dates.

    All days are whole local days in `timezone`, first and last included. The `after_days` days
    behind the last one still differ from what is usual. Nothing is published from the first to
    the last frozen day without an override.
    """

    key = models.CharField(_("key"), max_length=64, unique=True, db_collation="C")
    label_en = models.CharField(_("English name"), max_length=200)
    label_zh_hans = models.CharField(_("Chinese name"), max_length=200)
    kind = models.CharField(_("kind of promotion"), max_length=64, db_collation="C")
    timezone = models.CharField(_("time zone"), max_length=64)
    starts_on = models.DateField(_("first day"))
    ends_on = models.DateField(_("last day"))
    after_days = models.PositiveSmallIntegerField(_("days of after-effect"), default=0)
    freeze_from = models.DateField(_("frozen from"), null=True, blank=True)
    freeze_until = models.DateField(_("frozen until"), null=True, blank=True)
    note = models.TextField(_("note"), blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("promotion")
        verbose_name_plural = _("promotions")
        ordering = ["-starts_on", "key"]
        permissions = [("override_freeze", _("Can publish while publishing is frozen"))]
        constraints = [
            models.CheckConstraint(
                name="promotionevent_days", condition=Q(starts_on__lte=F("ends_on"))
            ),
            models.CheckConstraint(
                name="promotionevent_freeze",
                condition=Q(freeze_from__isnull=True, freeze_until__isnull=True)
                | Q(
                    freeze_from__isnull=False,
                    freeze_until__isnull=False,
                    freeze_from__lte=F("freeze_until"),
                ),
            ),
            # Days of two promotions of one kind would be compared with each other's.
            ExclusionConstraint(
                name="promotionevent_overlap",
                expressions=[
                    (_SAME_KIND, RangeOperators.OVERLAPS),
                    (_DAYS, RangeOperators.OVERLAPS),
                ],
            ),
        ]

    def __str__(self) -> str:
        return self.key
