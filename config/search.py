"""The search of every page (Ctrl-K): customers, orders, definitions, lists and pages by name.

It finds only what the person may open, with a bounded number of indexed or small queries, and
keeps nothing: what a person may see, and personal data, belong in no cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import override

from membership.models import Program
from segmentation.admin import shown
from segmentation.admin.looking import typed
from segmentation.domain.masking import mask_phone
from segmentation.models import CustomerList, Layering, Metric, Order, Segment, TagGroup
from segmentation.permissions import (
    of_visible_customers,
    visible_customers,
    visible_lists,
    visible_segments,
)
from segmentation.queries.customers import find_customers, in_id_order

from .navigation import sidebar, tabs

_LONGEST = 200
_CUSTOMERS = 6
_EACH = 5
_DEFINITIONS: tuple[tuple[type[Model], str], ...] = (
    (Segment, "filter_alt"),
    (Program, "workspace_premium"),
    (Metric, "functions"),
    (TagGroup, "sell"),
    (Layering, "stacked_bar_chart"),
    (CustomerList, "playlist_add_check"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """One result, as the theme's palette shows it."""

    title: str
    description: str
    link: str
    icon: str


def search_view(request: HttpRequest) -> HttpResponse:
    """The results for `?s=` as the theme's palette fetches them."""
    term = typed(request.GET.get("s"))[:_LONGEST]
    if not term:
        return HttpResponse()
    context = {"results": find(request, term=term)}
    headers = {"HX-Trigger": "search"}
    return TemplateResponse(request, "admin/search_results.html", context, headers=headers)


def find(request: HttpRequest, *, term: str) -> list[Found]:
    """What this person may open and `term` names: whole ids first, then names, then pages."""
    return [
        *_customers(request, term),
        *_orders(request, term),
        *_definitions(request, term),
        *_pages(request, term),
    ]


def _customers(request: HttpRequest, term: str) -> Iterator[Found]:
    if not request.user.has_perm("segmentation.view_customer"):
        return
    rows = find_customers(visible_customers(request.user), term=term)
    columns = in_id_order(rows).only("external_id", "name", "phone")
    for customer in columns[:_CUSTOMERS]:
        phone = mask_phone(customer.phone) if customer.phone else ""
        parts = (_("Customer"), customer.name, phone)
        yield Found(
            title=customer.external_id,
            description=" · ".join(part for part in parts if part),
            link=_page(customer),
            icon="person",
        )


def _orders(request: HttpRequest, term: str) -> Iterator[Found]:
    if not request.user.has_perm("segmentation.view_order"):
        return
    rows = of_visible_customers(Order.objects.filter(external_id=term), user=request.user)
    for order in rows.select_related("customer"):
        amount = f"{shown.money(order.amount, code=shown.currency())} {shown.currency()}"
        parts = (_("Order"), order.customer.external_id, shown.instant(order.placed_at), amount)
        yield Found(order.external_id, " · ".join(parts), _page(order), "receipt_long")


def _definitions(request: HttpRequest, term: str) -> Iterator[Found]:
    like = Q(key__icontains=term) | Q(label_en__icontains=term) | Q(label_zh_hans__icontains=term)
    for model, icon in _DEFINITIONS:
        name = f"{model._meta.app_label}.view_{model._meta.model_name}"
        if not request.user.has_perm(name) or not admin.site.is_registered(model):
            continue
        rows = _visible(model, request).filter(like, retired_at=None).order_by("key")
        for row in rows[:_EACH]:
            kind = str(model._meta.verbose_name)
            yield Found(shown.label(row), f"{kind} · {row.key}", _page(row), icon)


def _visible(model: type[Model], request: HttpRequest) -> QuerySet[Any]:
    if model is CustomerList:
        return visible_lists(request.user)
    if model is Segment:
        return visible_segments(request.user).defer("document")
    return model._default_manager.defer("document")


def _pages(request: HttpRequest, term: str) -> Iterator[Found]:
    """Pages of the navigation and their tabs, by their names in either language."""
    names = {link: title for title, link in _entries(request)}
    folded = term.casefold()
    found = {link for link, title in names.items() if folded in title.casefold()}
    for language in ("en", "zh-hans"):
        with override(language):
            found |= {link for title, link in _entries(request) if folded in title.casefold()}
    for link, title in names.items():
        if link in found:
            yield Found(title, _("Page"), link, "web_asset")


def _entries(request: HttpRequest) -> list[tuple[str, str]]:
    """Titles and addresses of the pages this person may open; a tab does not rename a page."""
    items = [item for group in sidebar(request) for item in group["items"]]
    below = [item for group in tabs(request) for item in group["items"]]
    listed = {str(item["link"]): str(item["title"]) for item in (*below, *items)}
    return [(title, link) for link, title in listed.items()]


def _page(row: Model) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[row.pk])


# Before the admin's own addresses: the theme's search keeps results for minutes and folds ids.
URLS = [path("admin/search/", admin.site.admin_view(search_view))]
