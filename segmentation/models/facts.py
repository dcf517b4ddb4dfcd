"""Facts: what happened. The newest version of each fact is a row of its table; older versions are
kept by a database trigger in `FactVersion`, so nothing recorded is ever lost.

Every row belongs to the `FactBatch` (one transaction of an import or an API call) that wrote it.
The mirror gives batches their generation; a run sees the facts up to one generation.
"""

from __future__ import annotations

from typing import Any

import pgtrigger
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Lower, Right
from django.utils.translation import gettext_lazy as _

KINDS = ("customers", "orders", "order_lines", "refunds", "events", "referrals", "tags")


def _keep_old_version(kind: str) -> pgtrigger.Trigger:
    """Copy the replaced version of each updated row into FactVersion, in the same statement."""
    return pgtrigger.Trigger(
        name="keep_old_version",
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=pgtrigger.Update,
        referencing=pgtrigger.Referencing(old="old_rows", new="new_rows"),  # type: ignore[no-untyped-call]
        func=(
            "INSERT INTO segmentation_factversion (kind, row_id, batch_id, superseded_by_id, row) "
            f"SELECT '{kind}', o.id, o.batch_id, n.batch_id, to_jsonb(o) "
            "FROM old_rows o JOIN new_rows n ON n.id = o.id "
            "WHERE n.batch_id <> o.batch_id; RETURN NULL;"
        ),
    )


def _refuse_silent_change() -> pgtrigger.Trigger:
    """A fact changes only together with the batch that changes it."""
    return pgtrigger.Trigger(
        name="change_needs_batch",
        level=pgtrigger.Row,
        when=pgtrigger.Before,
        operation=pgtrigger.Update,
        condition=pgtrigger.Condition(
            "OLD.* IS DISTINCT FROM NEW.* AND OLD.batch_id = NEW.batch_id"
        ),
        func="RAISE EXCEPTION 'a fact is replaced by a new batch, never edited';",
    )


def _money(**options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=18, decimal_places=4, **options)


class FactBatch(models.Model):
    """One transaction that recorded facts: a file import, an API call, an act in the admin."""

    class Source(models.TextChoices):
        IMPORT = "import", _("File import")
        API = "api", _("API")
        ADMIN = "admin", _("Admin")

    kind = models.CharField(_("kind"), max_length=16)
    source = models.CharField(_("source"), max_length=8, choices=Source.choices)
    actor = models.CharField(
        _("by"), max_length=150, blank=True
    )  # user name, API key name or "operator"
    file_name = models.CharField(_("file"), max_length=255, blank=True)
    recorded_at = models.DateTimeField(_("recorded at"))  # the real clock
    read = models.BigIntegerField(_("rows read"), default=0)
    inserted = models.BigIntegerField(_("new rows"), default=0)
    unchanged = models.BigIntegerField(_("unchanged rows"), default=0)
    updated = models.BigIntegerField(_("updated rows"), default=0)
    rejected = models.BigIntegerField(_("rejected rows"), default=0)
    # Given once by the mirror; null until then. Never compared with a transaction id or a clock.
    generation = models.BigIntegerField(_("mirror generation"), null=True, blank=True)

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        permissions = [("import_facts", _("Can import facts"))]
        indexes = [
            models.Index(
                name="factbatch_pending", fields=["id"], condition=models.Q(generation=None)
            ),
            models.Index(name="factbatch_generation", fields=["generation"]),
            # On which days a kind of fact came: one probe a day.
            models.Index(name="factbatch_kind_time", fields=["kind", "recorded_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class FactVersion(models.Model):
    """A version that a later batch replaced; `row` is the whole row as `to_jsonb` gave it."""

    kind = models.CharField(_("kind"), max_length=16)
    row_id = models.BigIntegerField(_("row"))
    batch = models.ForeignKey(FactBatch, models.PROTECT, related_name="+", verbose_name=_("import"))
    superseded_by = models.ForeignKey(
        FactBatch, models.PROTECT, related_name="+", verbose_name=_("replaced by import")
    )
    row = models.JSONField(_("replaced content"))

    class Meta:
        verbose_name = _("replaced fact")
        verbose_name_plural = _("replaced facts")
        indexes = [models.Index(name="factversion_row", fields=["kind", "row_id"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.row_id}"


class Fact(models.Model):
    """What every fact has: the batch that wrote its current version."""

    batch = models.ForeignKey(FactBatch, models.PROTECT, related_name="+", verbose_name=_("import"))

    class Meta:
        abstract = True


class Customer(Fact):
    """A person known to the business. A stub is known only because a fact mentions the id."""

    external_id = models.CharField(_("ID"), max_length=255, db_collation="C")
    # Dense, assigned under a lock: the position of this customer in every bitmap.
    ordinal = models.BigIntegerField(_("bitmap position"), unique=True)
    is_stub = models.BooleanField(_("known by ID only"), default=False)
    registered_at = models.DateTimeField(_("registered at"), null=True, blank=True)
    name = models.TextField(_("name"), null=True, blank=True)
    phone = models.TextField(_("phone"), null=True, blank=True)
    email = models.TextField(_("e-mail"), null=True, blank=True)
    gender = models.TextField(_("gender"), null=True, blank=True)
    birth_date = models.DateField(_("birth date"), null=True, blank=True)
    city = models.TextField(_("city"), null=True, blank=True)
    region = models.TextField(_("region"), null=True, blank=True)
    channel = models.TextField(_("channel"), null=True, blank=True)
    home_store = models.TextField(_("home store"), null=True, blank=True)
    is_staff = models.BooleanField(_("employee"), null=True, blank=True)
    consent_marketing = models.BooleanField(_("marketing consent"), null=True, blank=True)
    consent_at = models.DateTimeField(_("consent given at"), null=True, blank=True)
    unionid = models.TextField(_("WeChat union ID"), null=True, blank=True)
    external_userid = models.TextField(_("WeCom user ID"), null=True, blank=True)
    # Set once by an erasure; the row stays without a person, so that the ordinal is never reused.
    erased_at = models.DateTimeField(_("erased at"), null=True, blank=True)
    # One person with two ids: this one is an alias of the other, never of another alias.
    merged_into = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="aliases",
        db_index=False,  # the partial index below serves
        verbose_name=_("merged into"),
    )

    class Meta:
        verbose_name = _("customer")
        verbose_name_plural = _("customers")
        permissions = [
            ("view_all_customers", _("Can see the customers of all stores")),
            ("reveal_personal_data", _("Can reveal phones and e-mails")),
            ("export_personal_data", _("Can export personal columns")),
        ]
        indexes = [
            # What support types: the last four digits, or how a name begins.
            models.Index(
                Right("phone", 4),
                "id",
                name="customer_phone_end",
                condition=models.Q(phone__isnull=False),
            ),
            models.Index(
                OpClass("name", name="text_pattern_ops"),
                name="customer_name_start",
                condition=models.Q(name__isnull=False),
            ),
            models.Index(
                Lower("email"),
                name="customer_email",
                condition=models.Q(email__isnull=False),
            ),
            models.Index(
                name="customer_home_store",
                fields=["home_store", "id"],
                condition=models.Q(home_store__isnull=False),
            ),
            # Every read takes the few erased ones out.
            models.Index(
                name="customer_erased",
                fields=["ordinal"],
                condition=models.Q(erased_at__isnull=False),
            ),
            models.Index(
                name="customer_merged",
                fields=["merged_into", "ordinal"],
                condition=models.Q(merged_into__isnull=False),
            ),
        ]
        constraints = [
            models.UniqueConstraint(name="customer_external_id", fields=["external_id"]),
            models.CheckConstraint(
                name="customer_ordinal_fits_bitmap",
                condition=models.Q(ordinal__gte=0) & models.Q(ordinal__lt=2**32),
            ),
        ]
        triggers = [_keep_old_version("customers"), _refuse_silent_change()]

    def __str__(self) -> str:
        return self.external_id


def living(path: str = "") -> models.Q:
    """Who is somebody: neither erased nor an alias of another customer. For rows that belong to a
    customer, `path` leads to it: `living("customer__")`."""
    return models.Q(**{f"{path}erased_at": None, f"{path}merged_into": None})


class Order(Fact):
    """A purchase. Amounts are in the base currency; `currency` and `rate` say what was sent."""

    class Status(models.TextChoices):
        CREATED = "created", _("Created")
        PAID = "paid", _("Paid")
        SHIPPED = "shipped", _("Shipped")
        COMPLETED = "completed", _("Completed")
        CANCELLED = "cancelled", _("Cancelled")

    external_id = models.CharField(_("ID"), max_length=255, db_collation="C")
    customer = models.ForeignKey(
        Customer,
        models.PROTECT,
        related_name="orders",
        verbose_name=_("customer"),
        db_index=False,  # the first column of another index
    )
    placed_at = models.DateTimeField(_("placed at"))
    paid_at = models.DateTimeField(_("paid at"), null=True, blank=True)
    completed_at = models.DateTimeField(_("completed at"), null=True, blank=True)
    amount = _money(verbose_name=_("amount"))
    discount = _money(null=True, blank=True, verbose_name=_("discount"))
    goods_amount = _money(null=True, blank=True, verbose_name=_("goods amount"))
    shipping_amount = _money(null=True, blank=True, verbose_name=_("shipping amount"))
    stored_value_amount = _money(null=True, blank=True, verbose_name=_("paid with stored value"))
    points_amount = _money(null=True, blank=True, verbose_name=_("paid with points"))
    currency = models.CharField(_("currency"), max_length=3)
    rate = models.DecimalField(
        _("exchange rate"), max_digits=30, decimal_places=20, null=True, blank=True
    )
    channel = models.TextField(_("channel"), null=True, blank=True)
    is_promotion = models.BooleanField(_("promotion order"), null=True, blank=True)
    status = models.CharField(
        _("status"), max_length=9, choices=Status.choices, default=Status.COMPLETED
    )
    store_id = models.TextField(_("store"), null=True, blank=True)
    staff_id = models.TextField(_("sales assistant"), null=True, blank=True)
    payer_ref = models.TextField(_("payer"), null=True, blank=True)
    recipient_ref = models.TextField(_("recipient"), null=True, blank=True)

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        indexes = [
            models.Index(name="order_customer_placed", fields=["customer", "placed_at"]),
            models.Index(name="order_placed", fields=["placed_at", "id"]),  # the list, by day
        ]
        constraints = [
            models.UniqueConstraint(name="order_external_id", fields=["external_id"]),
            models.CheckConstraint(name="order_amount_positive", condition=models.Q(amount__gte=0)),
        ]
        triggers = [_keep_old_version("orders"), _refuse_silent_change()]

    def __str__(self) -> str:
        return self.external_id


class OrderLine(Fact):
    """One article of an order; amounts in the base currency at the order's rate."""

    order = models.ForeignKey(
        Order, models.PROTECT, related_name="lines", db_index=False, verbose_name=_("order")
    )
    line_no = models.BigIntegerField(_("line number"))
    sku = models.TextField(_("article (SKU)"))
    amount = _money(verbose_name=_("amount"))
    category = models.TextField(_("category"), null=True, blank=True)
    quantity = models.DecimalField(
        _("quantity"), max_digits=18, decimal_places=4, null=True, blank=True
    )
    discount = _money(null=True, blank=True, verbose_name=_("discount"))
    cost = _money(null=True, blank=True, verbose_name=_("cost"))
    is_durable = models.BooleanField(_("durable good"), null=True, blank=True)
    qualifies = models.BooleanField(_("counts for qualification"), null=True, blank=True)

    class Meta:
        verbose_name = _("order line")
        verbose_name_plural = _("order lines")
        constraints = [
            models.UniqueConstraint(name="orderline_key", fields=["order", "line_no"]),
            models.CheckConstraint(name="line_amount_positive", condition=models.Q(amount__gte=0)),
        ]
        triggers = [_keep_old_version("order_lines"), _refuse_silent_change()]

    def __str__(self) -> str:
        return f"{self.order_id}/{self.line_no}"


class Refund(Fact):
    """Money given back on an order, or on one line of it."""

    external_id = models.CharField(_("ID"), max_length=255, db_collation="C")
    order = models.ForeignKey(
        Order, models.PROTECT, related_name="refunds", verbose_name=_("order")
    )
    line_no = models.BigIntegerField(_("line number"), null=True, blank=True)
    refunded_at = models.DateTimeField(_("refunded at"))
    amount = _money(verbose_name=_("amount"))

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        indexes = [models.Index(name="refund_refunded", fields=["refunded_at", "id"])]
        constraints = [
            models.UniqueConstraint(name="refund_external_id", fields=["external_id"]),
            models.CheckConstraint(name="refund_above_zero", condition=models.Q(amount__gt=0)),
        ]
        triggers = [_keep_old_version("refunds"), _refuse_silent_change()]

    def __str__(self) -> str:
        return self.external_id


class Event(Fact):
    """Something a customer did that is no purchase."""

    external_id = models.CharField(_("ID"), max_length=255, db_collation="C")
    customer = models.ForeignKey(
        Customer,
        models.PROTECT,
        related_name="events",
        verbose_name=_("customer"),
        db_index=False,  # the first column of another index
    )
    name = models.TextField(_("name"))
    occurred_at = models.DateTimeField(_("occurred at"))
    properties = models.JSONField(_("properties"), null=True, blank=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = [
            models.Index(name="event_customer_time", fields=["customer", "occurred_at"]),
            models.Index(name="event_occurred", fields=["occurred_at", "id"]),
        ]
        # Not unique=True: with collation C the pattern index it adds serves nothing.
        constraints = [models.UniqueConstraint(name="event_external_id", fields=["external_id"])]
        triggers = [_keep_old_version("events"), _refuse_silent_change()]

    def __str__(self) -> str:
        return self.external_id


class Referral(Fact):
    """One customer brought another; it belongs to the referrer."""

    external_id = models.CharField(_("ID"), max_length=255, db_collation="C")
    referrer = models.ForeignKey(
        Customer, models.PROTECT, related_name="referrals_made", verbose_name=_("referrer")
    )
    referee = models.ForeignKey(
        Customer,
        models.PROTECT,
        related_name="referrals_received",
        verbose_name=_("referred customer"),
    )
    occurred_at = models.DateTimeField(_("occurred at"))

    class Meta:
        verbose_name = _("referral")
        verbose_name_plural = _("referrals")
        indexes = [models.Index(name="referral_occurred", fields=["occurred_at", "id"])]
        # Not unique=True: with collation C the pattern index it adds serves nothing.
        constraints = [models.UniqueConstraint(name="referral_external_id", fields=["external_id"])]
        triggers = [_keep_old_version("referrals"), _refuse_silent_change()]

    def __str__(self) -> str:
        return self.external_id


class CustomerTag(Fact):
    """One value of an imported or hand-set tag group. `is_removed` ends it without a trace lost."""

    customer = models.ForeignKey(
        Customer,
        models.PROTECT,
        related_name="tags",
        verbose_name=_("customer"),
        db_index=False,  # the first column of another index
    )
    group = models.CharField(_("tag"), max_length=64, db_collation="C")
    value = models.CharField(_("tag value"), max_length=255, db_collation="C")
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    is_removed = models.BooleanField(_("removed"), default=False)

    class Meta:
        verbose_name = _("customer tag")
        verbose_name_plural = _("customer tags")
        constraints = [
            models.UniqueConstraint(name="customertag_key", fields=["customer", "group", "value"])
        ]
        triggers = [_keep_old_version("tags"), _refuse_silent_change()]

    def __str__(self) -> str:
        return f"{self.group}={self.value}"
