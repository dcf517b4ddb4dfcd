"""What the histories of programs, memberships and customers have from this app."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from membership.models import Membership, Program, ProgramVersion, Transition
from segmentation.admin import shown
from segmentation.admin.changes import ShownField, difference
from segmentation.admin.documents import as_yaml
from segmentation.admin.history import Entry, Source, add_history, event_source
from segmentation.admin.object_histories import events, filed_sources
from segmentation.models import Customer

from . import wording


@add_history(Program)
def program_sources(program: Program, *, user: Any) -> Iterable[Source]:
    yield from filed_sources("program", program.key, user=user)
    if user.has_perm("membership.view_programversion"):
        yield Source(program.versions.all(), "published_at", _show_versions)


def _show_versions(rows: Sequence[ProgramVersion], request: HttpRequest) -> Sequence[Entry]:
    """Each published version against the one before it."""
    numbers = {row.number - 1 for row in rows}
    former = dict(
        ProgramVersion.objects.filter(
            program_id=rows[0].program_id, number__in=numbers
        ).values_list("number", "document")
    )
    return [
        Entry(
            at=shown.instant(row.published_at),
            what=_("Version %(number)s, effective from %(day)s")
            % {"number": row.number, "day": row.effective_from.isoformat()},
            act=shown.badge(_("Published"), colour="success"),
            who=row.actor,
            fields=(
                ShownField(
                    _("Definition"),
                    diff=difference(
                        as_yaml(former[row.number - 1]) if row.number - 1 in former else "",
                        as_yaml(row.document),
                    ),
                ),
            ),
        )
        for row in rows
    ]


@add_history(Membership)
def membership_sources(held: Membership, *, user: Any) -> Iterable[Source]:
    if user.has_perm("membership.view_transition"):
        moves = Transition.objects.filter(customer_id=held.customer_id, program_id=held.program_id)
        named = (
            moves.select_related("run")
            .defer("run__log", "run__cuts")
            .annotate(
                from_name=wording.tier_label("from_tier"), to_name=wording.tier_label("to_tier")
            )
        )
        yield Source(named, "run__requested_at", _show_moves)


def _show_moves(rows: Sequence[Any], request: HttpRequest) -> Sequence[Entry]:
    may_open = request.user.has_perm("membership.view_transition")
    return [
        Entry(
            at=shown.instant(row.run.requested_at),
            what=f"{row.from_name or shown.EMPTY} → {row.to_name or shown.EMPTY}",
            act=wording.kind_badge(row),
            who=_("Run %(run)s") % {"run": row.run_id},
            why=wording.reason_words(row.reasons) or shown.EMPTY,
            address=reverse("admin:membership_transition_change", args=[row.pk])
            if may_open
            else "",
        )
        for row in rows
    ]


@add_history(Customer)
def customer_sources(customer: Customer, *, user: Any) -> Iterable[Source]:
    held = events("MembershipEvent", app="membership")
    yield event_source(held, user=user, customer_id=customer.pk)
