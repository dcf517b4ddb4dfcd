"""Home: members per tier, who moved, whose term ends soon, the own stores of a store manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from membership.admin.links import days_ahead, memberships_url
from membership.admin.memberships import moved_words
from membership.admin.wording import (
    bounded_words,
    count_link,
    kind_badge,
    meter,
    reason_words,
    tier_label,
    tier_names,
)
from membership.models import Program, Transition
from membership.services.tier_figures import TierSize, expiring, tier_sizes
from segmentation.admin import shown
from segmentation.models import Run
from segmentation.permissions import of_visible_customers, visible_customers

from .blocks import Block, Viewing, table_block

VIEW_PROGRAM = "membership.view_program"
VIEW_MEMBERSHIP = "membership.view_membership"
VIEW_TRANSITION = "membership.view_transition"
VIEW_CUSTOMER = "segmentation.view_customer"
EXPIRING_DAYS = 30
_MOVED = 10
_MOST_CUSTOMERS = 100_000
# Renewals and grace keep people where they are.
_MOVES = (
    Transition.Kind.ENTRY,
    Transition.Kind.UPGRADE,
    Transition.Kind.DOWNGRADE,
    Transition.Kind.EXIT,
)


def search_block() -> Block:
    """The big search box of people who look customers up all day."""
    return Block(
        "search",
        "admin/home/search.html",
        {"address": reverse("admin:segmentation_customer_changelist")},
    )


def stores_block(viewing: Viewing) -> Block:
    """Which stores' customers this person sees, and how many they are."""
    known = visible_customers(viewing.user).order_by().values("pk")[: _MOST_CUSTOMERS + 1].count()
    return Block(
        "stores",
        "admin/home/stores.html",
        {
            "stores": viewing.stores,
            "customers": bounded_words(min(known, _MOST_CUSTOMERS), known > _MOST_CUSTOMERS),
            "as_of": shown.instant(viewing.run.as_of) if viewing.run else "",
        },
    )


def tiers_block(viewing: Viewing, run: Run) -> Block:
    """Members per tier with a bar, the change since the run before, and how many terms end soon."""
    names = tier_names()
    sizes = tier_sizes(viewing.user, run=run)
    place = {pair: number for number, pair in enumerate(names)}
    ordered = sorted(
        sizes, key=lambda each: (place.get((each.program, each.tier), len(place)), each.tier)
    )
    most = {each.program: 1 for each in sizes}
    for each in sizes:
        most[each.program] = max(most[each.program], each.size)
    ending = _ending(viewing, ordered) if viewing.may(VIEW_MEMBERSHIP) else None
    rows = []
    for each in ordered:
        row = _tier_row(each, names=names, most=most[each.program])
        rows.append(row if ending is None else (*row, ending[each.program, each.tier]))
    headers: tuple[Any, ...] = (_("program"), _("tier"), _("members"), "", _("difference"))
    if ending is not None:
        headers = (*headers, _("terms ending in 30 days"))
    if len({each.program for each in ordered}) == 1:  # its name in each row says nothing
        headers, rows = headers[1:], [row[1:] for row in rows]
    table = shown.Table(
        _("Members per tier"),
        headers,
        rows,
        note=_("difference from the run before"),
        empty=_("No program is defined yet."),
        more=(reverse("admin:membership_program_changelist"), _("All programs")),
        numeric=frozenset(
            number
            for number, header in enumerate(headers)
            if header not in ("", _("program"), _("tier"))
        ),
    )
    return table_block("tiers", table, is_wide=False)


def _tier_row(each: TierSize, *, names: Any, most: int) -> tuple[Any, ...]:
    program, tier = names.get((each.program, each.tier), (each.program, each.tier))
    address = memberships_url(program=each.program, tier=each.tier)
    return (
        program,
        format_html('<a class="tw-link" href="{}">{}</a>', address, tier),
        shown.count(each.size),
        meter(each.size, most=most),
        shown.EMPTY if each.before is None else shown.change(each.size - each.before),
    )


def _ending(viewing: Viewing, sizes: Sequence[TierSize]) -> dict[tuple[str, str], Any]:
    """By program and tier, how many terms end within 30 days, leading to whose."""
    days = days_ahead(viewing.now, EXPIRING_DAYS)
    programs = dict(Program.objects.values_list("key", "pk"))
    places = [(programs[each.program], each.tier) for each in sizes if each.program in programs]
    (counted,) = expiring(viewing.user, places=places, spans=[days], zone=viewing.zone)
    found: dict[tuple[str, str], Any] = {}
    for each in sizes:
        count = counted.get((programs.get(each.program, 0), each.tier))
        address = memberships_url(program=each.program, tier=each.tier, until=days)
        words = bounded_words(count.count, count.is_more) if count else shown.EMPTY
        found[each.program, each.tier] = count_link(words, address if count and count.count else "")
    return found


def moved_block(viewing: Viewing) -> Block:
    """The latest entries, upgrades, downgrades and exits, each with its reason."""
    latest = (
        of_visible_customers(Transition.objects.filter(kind__in=_MOVES), user=viewing.user)
        .select_related("program", "customer")
        .defer("program__document")
        .annotate(from_name=tier_label("from_tier"), to_name=tier_label("to_tier"))
        .order_by("-pk")[:_MOVED]
    )
    may_open = viewing.may(VIEW_CUSTOMER)
    rows = [
        (
            shown.link(
                "segmentation_customer_change",
                args=[row.customer_id],
                text=row.customer.external_id,
            )
            if may_open
            else row.customer.external_id,
            shown.label(row.program),
            kind_badge(row),
            moved_words(row),
            reason_words(row.reasons),
            shown.link("membership_transition_change", args=[row.pk], text=shown.instant(row.at)),
        )
        for row in latest
    ]
    headers = (
        _("customer"), _("program"), _("decision"), _("from → to"), _("reasons"), _("as of"),
    )  # fmt: skip
    table = shown.Table(
        _("Who moved last"),
        headers,
        rows,
        empty=_("Nobody has entered, changed or left a tier yet."),
        more=(reverse("admin:membership_transition_changelist"), _("All transitions")),
    )
    return table_block("moved", table)
