"""Tables below a customer's page. Apps above add theirs: this app knows nothing of memberships."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from django.db.models import Q
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from config import clock
from segmentation.models import Customer, TagGroup

from . import shown

PanelSource = Callable[..., tuple[shown.Table, ...]]
_LATEST = 20
_sources: list[PanelSource] = []


def add_customer_panels(source: PanelSource) -> PanelSource:
    """Show what `source(customer, user=...)` returns before the tables of this app."""
    _sources.append(source)
    return source


def customer_panels(customer: Customer, *, user: Any) -> tuple[shown.Table, ...]:
    """All tables of one customer that this user may see."""
    above = [table for source in _sources for table in source(customer, user=user)]
    own: list[shown.Table] = []
    if user.has_perm("segmentation.view_customertag"):
        own.append(_tags(customer))
    if user.has_perm("segmentation.view_order"):
        own.append(_orders(customer))
    return (*above, *own)


def _tags(customer: Customer) -> shown.Table:
    """Tags in force now: neither removed nor expired."""
    labels = {group.key: shown.label(group) for group in TagGroup.objects.defer("document")}
    tags = customer.tags.filter(
        Q(expires_at=None) | Q(expires_at__gt=clock.now()), is_removed=False
    ).order_by("group", "value")
    rows = [
        (labels.get(group, group), ", ".join(tag.value for tag in found))
        for group, found in groupby(tags, key=lambda tag: tag.group)
    ]
    return shown.Table(
        _("Tags"),
        (_("tag"), _("tag value")),
        rows,
        empty=_("No tag was imported or set for this customer."),
    )


def _orders(customer: Customer) -> shown.Table:
    code = shown.currency()
    rows = [
        (
            shown.link("segmentation_order_change", args=[order.pk], text=order.external_id),
            shown.instant(order.placed_at),
            order.get_status_display(),
            shown.money(order.amount, code=code),
        )
        for order in customer.orders.order_by("-placed_at", "-pk")[:_LATEST]
    ]
    return shown.Table(
        _("Latest orders"),
        (_("order"), _("placed at"), _("status"), format_html("{} ({})", _("amount"), code)),
        rows,
        empty=_("No order of this customer is known."),
        numeric=frozenset({3}),
    )
