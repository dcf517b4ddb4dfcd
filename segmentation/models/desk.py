"""What the desk keeps beside definitions: drafts, folders, owners, stars, row scopes, lists."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from .definitions import track
from .facts import Customer

DRAFT_KINDS = (
    ("tag", _("Tag")),
    ("metric", _("Metric")),
    ("layering", _("Layering")),
    ("segment", _("Segment")),
    ("program", _("Program")),
)


@track
class Draft(models.Model):
    """An edit that is not published: one a definition, shared by the people who may edit it.

    `document` is one definition in the contract's format, perhaps not valid yet. `base_version` is
    the version it started from (0: a new definition). `revision` grows with each save: a save that
    names another one is refused, so nobody's work is overwritten.
    """

    kind = models.CharField(_("kind"), max_length=16, choices=DRAFT_KINDS)
    key = models.CharField(_("key"), max_length=64, db_collation="C")
    document = models.JSONField(_("definition"))
    base_version = models.PositiveIntegerField(_("started from version"), default=0)
    revision = models.PositiveIntegerField(_("revision"), default=1)
    is_hidden = models.BooleanField(_("restricted"), default=False)
    author = models.CharField(_("by"), max_length=150)  # of the last save
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("draft")
        verbose_name_plural = _("drafts")
        constraints = [models.UniqueConstraint(name="draft_key", fields=["kind", "key"])]
        permissions = [
            ("publish_tag", _("Can publish tags")),
            ("publish_metric", _("Can publish metrics")),
            ("publish_layering", _("Can publish layerings")),
            ("publish_segment", _("Can publish segments")),
            ("publish_program", _("Can publish programs")),
        ]

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"


@track
class Card(models.Model):
    """Where a definition is filed and who answers for it; not part of the definition."""

    kind = models.CharField(_("kind"), max_length=16)
    key = models.CharField(_("key"), max_length=64, db_collation="C")
    folder = models.CharField(_("folder"), max_length=100, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("owner"),
    )

    class Meta:
        verbose_name = _("folder and owner")
        verbose_name_plural = _("folders and owners")
        constraints = [models.UniqueConstraint(name="card_key", fields=["kind", "key"])]
        indexes = [models.Index(name="card_folder", fields=["kind", "folder"])]

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"


class LastUse(models.Model):
    """When somebody last opened, exported or read a definition; written at most once a day."""

    kind = models.CharField(_("kind"), max_length=16)
    key = models.CharField(_("key"), max_length=64, db_collation="C")
    used_on = models.DateField(_("last used on"))  # the real clock, UTC

    class Meta:
        verbose_name = _("last use")
        verbose_name_plural = _("last uses")
        constraints = [models.UniqueConstraint(name="lastuse_key", fields=["kind", "key"])]

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"


class Star(models.Model):
    """A definition that a person keeps at the top of their lists."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user")
    )
    kind = models.CharField(_("kind"), max_length=16)
    key = models.CharField(_("key"), max_length=64, db_collation="C")

    class Meta:
        verbose_name = _("star")
        verbose_name_plural = _("stars")
        constraints = [models.UniqueConstraint(name="star_key", fields=["user", "kind", "key"])]

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"


@track
class StaffScope(models.Model):
    """The home stores whose customers a person may see, who lacks `view_all_customers`.

    Without a row such a person sees no customer.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="scope", verbose_name=_("user")
    )
    home_stores = ArrayField(models.TextField(), verbose_name=_("home stores"), default=list)

    class Meta:
        verbose_name = _("row scope")
        verbose_name_plural = _("row scopes")

    def __str__(self) -> str:
        return ", ".join(self.home_stores)


@track
class CustomerList(models.Model):
    """A named list of customers, uploaded or saved from a page. Members are its rows."""

    key = models.CharField(_("key"), max_length=64, unique=True, db_collation="C")
    label_en = models.CharField(_("English name"), max_length=200)
    label_zh_hans = models.CharField(_("Chinese name"), max_length=200)
    is_hidden = models.BooleanField(_("restricted"), default=False)
    note = models.TextField(_("what it is for"), blank=True)
    size = models.BigIntegerField(_("members"), default=0)
    actor = models.CharField(_("by"), max_length=150)
    retired_at = models.DateTimeField(_("retired at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        verbose_name = _("list")
        verbose_name_plural = _("lists")
        ordering = ["key"]

    def __str__(self) -> str:
        return self.key


class CustomerListMember(models.Model):
    """One customer of a list. A list is replaced or added to as a whole, by a job."""

    list = models.ForeignKey(
        CustomerList, models.CASCADE, related_name="members", verbose_name=_("list")
    )
    customer = models.ForeignKey(
        Customer, models.PROTECT, related_name="+", verbose_name=_("customer")
    )

    class Meta:
        verbose_name = _("list member")
        verbose_name_plural = _("list members")
        constraints = [
            models.UniqueConstraint(name="customerlistmember_key", fields=["list", "customer"])
        ]

    def __str__(self) -> str:
        return f"{self.list_id} {self.customer_id}"
