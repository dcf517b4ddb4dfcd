"""The addresses that the benchmark of pages asks for: what people open all day, and all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.urls import reverse

from membership.models import Membership, Program, Transition
from segmentation.models import Customer, Layering, Metric, Run, Segment, TagGroup

ASKED = 6  # once to warm up, then five times, each time about somebody or something else
CLUB = "club"


@dataclass(frozen=True)
class Page:
    """What is asked for, by whom; `name` is what the table calls it.

    `addresses` are asked for in turn, so that no answer is one that was kept for the same question.
    A part is what a page asks for after it is drawn. `is_sent`: with POST.
    """

    name: str
    addresses: tuple[str, ...]
    person: str = "operations"
    is_part: bool = False
    is_sent: bool = False


def at(name: str, *args: Any, **query: str) -> str:
    address = reverse(f"admin:{name}", args=args)
    return f"{address}?{urlencode(query)}" if query else address


def _of(name: str, rows: Iterable[Any], **query: str) -> tuple[str, ...]:
    return tuple(at(name, row.pk, **query) for row in rows)


def pages(drafted: Iterable[str]) -> Iterator[Page]:
    """What people open all day, with the rows that the shop has. `drafted`: segments with a draft
    that is not published."""
    yield from _for_operations(tuple(drafted))
    yield from _for_a_store()


def _for_operations(drafted: tuple[str, ...]) -> Iterator[Page]:
    program = Program.objects.get(key=CLUB)
    names = [f"{name} 7" for name in ("Rowan", "Noor", "Ada", "Kofi", "Yara", "Li Lei")]
    yield Page("home", (at("index"),))
    yield from _people(program, names)
    yield from _definitions(drafted)
    yield from _members(program, names)
    for name, address in (
        ("runs", at("segmentation_run_changelist")),
        ("run", at("segmentation_run_change", Run.objects.order_by("-pk")[0].pk)),
        ("imports", at("segmentation_factbatch_changelist")),
        ("data quality", at("segmentation_factbatch_quality")),
        ("jobs", at("segmentation_job_changelist")),
        ("drafts", at("segmentation_draft_changelist")),
        ("definition versions", at("segmentation_definitionversion_changelist")),
    ):
        yield Page(name, (address,))
    yield Page("search", tuple(at("search", s=name, extended="1") for name in names))


def _people(program: Program, names: Iterable[str]) -> Iterator[Page]:
    members = Membership.objects.order_by("pk")[: 1000 * ASKED : 1000]
    people = Customer.objects.filter(pk__in=[member.customer_id for member in members])
    customers = "segmentation_customer_changelist"
    yield Page("customers", (at(customers),))
    yield Page(
        "customers: last 4 digits", tuple(at(customers, q=str(one.phone)[-4:]) for one in people)
    )
    yield Page("customers: name", tuple(at(customers, q=name) for name in names))
    yield Page("customer", _of("segmentation_customer_change", people))
    yield Page("customer: portrait", _of("segmentation_customer_portrait", people), is_part=True)
    yield Page(
        "customer: explain tier",
        _of("segmentation_customer_explain", people, subject=f"tier:{program.key}"),
        is_part=True,
    )
    yield Page("orders", (at("segmentation_order_changelist"),))


def _definitions(drafted: tuple[str, ...]) -> Iterator[Page]:
    hidden = list(Segment.objects.filter(is_hidden=True).order_by("key")[:ASKED])
    internal = list(Segment.objects.filter(is_hidden=False).order_by("key")[:ASKED])
    layerings = list(Layering.objects.order_by("key")[:ASKED])
    layer = f"layer:{layerings[0].key}/{layerings[0].document['layers'][0]}"
    subjects = [*(f"segment:{row.key}" for row in internal), layer, f"tier:{CLUB}/gold"][-ASKED:]
    yield Page("segments", (at("segmentation_segment_changelist"),))
    yield Page("segment", _of("segmentation_segment_change", internal))
    yield Page("hidden segment", _of("segmentation_segment_change", hidden))
    yield Page("segment: members", _of("segmentation_segment_members", internal))
    yield Page("portrait", tuple(f"{reverse('portrait')}?subject={each}" for each in subjects))
    yield Page("segment: edit", tuple(at("builder_draft", "segment", key) for key in drafted))
    yield Page(
        "segment: edit: preview",
        tuple(at("builder_preview", "segment", key) for key in drafted),
        is_part=True,
        is_sent=True,
    )
    publish = tuple(at("builder_publish", "segment", key) for key in drafted)
    yield Page("segment: publish", publish)
    yield Page(
        "segment: publish: the change",
        tuple(f"{address}?part=change" for address in publish),
        is_part=True,
    )
    yield Page("metrics", (at("segmentation_metric_changelist"),))
    yield Page("metric", _of("segmentation_metric_change", Metric.objects.order_by("key")[:ASKED]))
    yield Page("tags", (at("segmentation_taggroup_changelist"),))
    yield Page("tag", _of("segmentation_taggroup_change", TagGroup.objects.order_by("pk")[:ASKED]))
    yield Page("layering", _of("segmentation_layering_change", layerings))


def _members(program: Program, names: Iterable[str]) -> Iterator[Page]:
    members = list(Membership.objects.order_by("pk")[500 : 1000 * ASKED : 1000])
    moves = list(Transition.objects.order_by("-pk")[: 1000 * ASKED : 1000])
    memberships, transitions = (
        "membership_membership_changelist",
        "membership_transition_changelist",
    )
    club = {"program": program.key}
    month = {"day_from": "2025-12-01", "day_to": "2026-01-31"}
    yield Page("programs", (at("membership_program_changelist"),))
    yield Page("program", (at("membership_program_change", program.pk),))
    yield Page("program: versions", (at("membership_program_versions", program.pk),))
    yield Page("memberships", (at(memberships),))
    yield Page("memberships: gold", (at(memberships, **club, tier="gold"),))
    yield Page(
        "memberships: gold until",
        (at(memberships, **club, tier="gold", until_from="2026-03-01", until_to="2026-03-31"),),
    )
    yield Page("memberships: in grace", (at(memberships, grace_until__isnull="False"),))
    yield Page("memberships: name", tuple(at(memberships, q=name) for name in names))
    yield Page("membership", _of("membership_membership_change", members))
    yield Page("membership: gap", _of("membership_membership_gap", members), is_part=True)
    yield Page("transitions", (at(transitions),))
    yield Page(
        "transitions: became gold",
        (at(transitions, **club, to_tier="gold", kind__in="entry,upgrade", **month),),
    )
    yield Page("transitions: exits", (at(transitions, kind__in="exit", **month),))
    yield Page("transition", _of("membership_transition_change", moves))


def _for_a_store() -> Iterator[Page]:
    internal = Segment.objects.filter(is_hidden=False).order_by("key")[:ASKED]
    for name, addresses in (
        ("home", (at("index"),)),
        ("customers", (at("segmentation_customer_changelist"),)),
        ("customers: name", (at("segmentation_customer_changelist", q="Rowan 7"),)),
        ("memberships", (at("membership_membership_changelist"),)),
        ("transitions", (at("membership_transition_changelist"),)),
        ("program", (at("membership_program_change", Program.objects.get(key=CLUB).pk),)),
        ("orders", (at("segmentation_order_changelist"),)),
        ("segments", (at("segmentation_segment_changelist"),)),
        ("segment", _of("segmentation_segment_change", internal)),
        (
            "portrait",
            tuple(f"{reverse('portrait')}?subject=segment:{row.key}" for row in internal),
        ),
    ):
        yield Page(name, addresses, "store")


def other_lists() -> Iterator[Page]:
    """The list and the newest row of every other model of the admin."""
    for model in admin.site._registry:
        meta = model._meta
        name = f"{meta.app_label}_{meta.model_name}"
        yield Page(f"all: {meta.model_name}", (at(f"{name}_changelist"),), "all")
        row = model._default_manager.order_by("-pk").first()
        if row is not None:
            yield Page(f"all: {meta.model_name}: one", (at(f"{name}_change", row.pk),), "all")
