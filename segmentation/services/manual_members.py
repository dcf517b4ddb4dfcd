"""Putting customers into a segment, or keeping them out, by hand (case S16)."""

from __future__ import annotations

from typing import Any

import pghistory
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from segmentation.domain.errors import Problem, TierwiseError
from segmentation.models import Customer, ManualMember, Segment


def include_customer(
    segment: Segment, *, customer: Customer, reason: str, actor: str
) -> ManualMember:
    """Make `customer` a member of `segment` from the next run on, whatever its rule says.

    An exclude of the same customer stays and wins. Errors: `reason_required`, `retired`,
    `already_listed`.
    """
    return _list(segment, customer, ManualMember.Kind.INCLUDE, reason=reason, actor=actor)


def exclude_customer(
    segment: Segment, *, customer: Customer, reason: str, actor: str
) -> ManualMember:
    """Keep `customer` out of `segment` from the next run on, whatever else says.

    Errors: `reason_required`, `retired`, `already_listed`.
    """
    return _list(segment, customer, ManualMember.Kind.EXCLUDE, reason=reason, actor=actor)


def remove(row: ManualMember, *, reason: str, actor: str) -> None:
    """Take a manual include or exclude back: from the next run on the rule decides again.

    The row stays in its event table with `actor` and `reason`. Errors: `reason_required`.
    """
    _require(reason)
    with pghistory.context(actor=actor, reason=reason.strip()):
        row.delete()


def _list(
    segment: Segment, customer: Customer, kind: str, *, reason: str, actor: str
) -> ManualMember:
    _require(reason)
    if segment.retired_at is not None:
        message = _("The segment %(segment)s is retired.") % {"segment": segment.key}
        raise TierwiseError(
            message, code="retired", problems=(Problem("/segment", "retired", message),)
        )
    row: dict[str, Any] = {"segment": segment, "customer": customer, "kind": kind}
    try:
        with transaction.atomic(), pghistory.context(actor=actor, reason=reason.strip()):
            return ManualMember.objects.create(**row, reason=reason.strip(), actor=actor)
    except IntegrityError:
        if not ManualMember.objects.filter(**row).exists():
            raise
    message = _("The customer %(customer)s is on this list already.") % {
        "customer": customer.external_id
    }
    raise TierwiseError(
        message, code="already_listed", problems=(Problem("/customer", "already_listed", message),)
    )


def _require(reason: str) -> None:
    if not reason.strip():
        message = _("Say why: a reason is required.")
        raise TierwiseError(
            message,
            code="reason_required",
            problems=(Problem("/reason", "reason_required", message),),
        )
