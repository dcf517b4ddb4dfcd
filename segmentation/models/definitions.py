"""Definitions: identity, current state and immutable versions of what operators define."""

from __future__ import annotations

from typing import Any, TypeVar

import pghistory
import pgtrigger
from django.db import models
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

_Model = TypeVar("_Model", bound=models.Model)


def history_names(plural: Any) -> dict[str, Any]:
    """What the event table of a model is called on screens; `plural` may be lazy."""
    names = format_lazy(_("history of {what}"), what=plural)
    return {"verbose_name": names, "verbose_name_plural": names}


def track(model: type[_Model]) -> type[_Model]:
    """Keep every insert, update and delete of `model`'s rows in its event table, by trigger.

    The trackers are made anew for each model: pghistory writes the model's own fields into them,
    so shared ones would compare only the fields of the first model.
    """
    tracked: type[_Model] = pghistory.track(
        pghistory.InsertEvent(level=pghistory.Statement),
        pghistory.UpdateEvent(level=pghistory.Statement),
        pghistory.DeleteEvent(level=pghistory.Statement),
        meta=history_names(model._meta.verbose_name_plural),
    )(model)
    return tracked


class Definition(models.Model):
    """The named thing; `document` is its current version in the contract's format, normalised."""

    key = models.CharField(_("key"), max_length=64, unique=True, db_collation="C")
    label_en = models.CharField(_("English name"), max_length=200)
    label_zh_hans = models.CharField(_("Chinese name"), max_length=200)
    version = models.PositiveIntegerField(_("version"), default=1)
    document = models.JSONField(_("definition"))
    retired_at = models.DateTimeField(_("retired at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        abstract = True
        ordering = ["key"]

    def __str__(self) -> str:
        return self.key


class DefinitionVersion(models.Model):
    """One published version, immutable: kind, key, number and the whole document.

    `kind` is `tag`, `metric`, `layering`, `segment` or `program`.
    """

    kind = models.CharField(_("kind"), max_length=16)
    key = models.CharField(_("key"), max_length=64, db_collation="C")
    number = models.PositiveIntegerField(_("number"))
    document = models.JSONField(_("definition"))
    digest = models.CharField(_("digest"), max_length=64)  # SHA-256 of the canonical JSON
    is_retired = models.BooleanField(_("retired"), default=False)
    actor = models.CharField(_("by"), max_length=150)
    published_at = models.DateTimeField(_("published at"))  # the real clock

    class Meta:
        verbose_name = _("definition version")
        verbose_name_plural = _("definition versions")
        constraints = [
            models.UniqueConstraint(
                name="definitionversion_number", fields=["kind", "key", "number"]
            )
        ]
        triggers = [
            pgtrigger.Protect(name="immutable", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.kind}:{self.key} {self.number}"


class DefinitionSet(models.Model):
    """Everything a run was computed from, by content: an old decision replays with it."""

    digest = models.CharField(_("digest"), max_length=64, unique=True)
    document = models.JSONField(_("definition"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("definition set")
        verbose_name_plural = _("definition sets")
        triggers = [
            pgtrigger.Protect(name="immutable", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return self.digest[:12]


@track
class TagGroup(Definition):
    """A dimension with its values: imported, set by hand, or derived by rule."""

    class Meta(Definition.Meta):
        abstract = False
        verbose_name = _("tag")
        verbose_name_plural = _("tags")


@track
class Metric(Definition):
    """A number per customer for a window and an as-of time."""

    class Meta(Definition.Meta):
        abstract = False
        verbose_name = _("metric")
        verbose_name_plural = _("metrics")


@track
class Layering(Definition):
    """Exclusive ordered groups cut on one metric."""

    class Meta(Definition.Meta):
        abstract = False
        verbose_name = _("layering")
        verbose_name_plural = _("layerings")


@track
class Segment(Definition):
    """A rule that selects customers. Hidden ones are only for roles with the right."""

    is_hidden = models.BooleanField(_("restricted"), default=False)

    class Meta(Definition.Meta):
        abstract = False
        verbose_name = _("segment")
        verbose_name_plural = _("segments")
        permissions = [("view_hidden_segment", _("Can see hidden segments"))]


@track
class ManualMember(models.Model):
    """A customer put into or kept out of a segment by hand, after its rule; exclude wins.

    Written by services/manual_members.py only; what was taken off the list stays in its history.
    """

    class Kind(models.TextChoices):
        INCLUDE = "include", _("Include")
        EXCLUDE = "exclude", _("Exclude")

    segment = models.ForeignKey(
        Segment, models.PROTECT, related_name="manual_members", verbose_name=_("segment")
    )
    customer = models.ForeignKey(
        "Customer", models.PROTECT, related_name="+", verbose_name=_("customer")
    )
    kind = models.CharField(_("kind"), max_length=7, choices=Kind.choices)
    reason = models.TextField(_("reason"))
    actor = models.CharField(_("by"), max_length=150)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("manual include or exclude")
        verbose_name_plural = _("manual includes and excludes")
        constraints = [
            models.UniqueConstraint(name="manualmember_key", fields=["segment", "customer", "kind"])
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.customer_id}"


class Objection(models.Model):
    """A customer objects to personalised decisions: in no hidden segment while the row exists."""

    customer = models.OneToOneField(
        "Customer", models.PROTECT, related_name="objection", verbose_name=_("customer")
    )
    objected_at = models.DateTimeField(_("objected at"))

    class Meta:
        verbose_name = _("objection")
        verbose_name_plural = _("objections")

    def __str__(self) -> str:
        return str(self.customer_id)
