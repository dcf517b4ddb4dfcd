"""The record of who looked at hidden or personal data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils.translation import gettext as _

from segmentation.domain.errors import TierwiseError
from segmentation.models import AccessRecord, Customer

Kind = AccessRecord.Kind
_LOCK_SPACE = 0x52564C  # advisory locks of reveals, one a user
REVEALED = ("phone", "email")


@dataclass(frozen=True, slots=True)
class Looker:
    """Who looks, and from where: a staff user, an API key (no user) or the operator."""

    actor: str
    via: str
    user: User | None = None
    address: str | None = None


def record_access(
    kind: str,
    *,
    looker: Looker,
    subject: str,
    now: datetime,
    is_hidden: bool = False,
    rows: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> AccessRecord:
    """Write one look at `subject` (`kind:key`, e.g. `segment:vip`) down. `now`: the real clock."""
    subject_kind, _colon, subject_key = subject.partition(":")
    return AccessRecord.objects.create(
        at=now,
        kind=kind,
        via=looker.via,
        user=looker.user,
        actor=looker.actor,
        subject_kind=subject_kind,
        subject_key=subject_key[:255],
        is_hidden=is_hidden,
        rows=rows,
        details=dict(details or {}),
        address=looker.address,
    )


@dataclass(frozen=True, slots=True)
class Revealed:
    """A customer's phone and e-mail in the clear, and how many reveals are left today."""

    phone: str | None
    email: str | None
    left: int


def reveal_personal_data(
    customer: Customer, *, looker: Looker, reason: str, now: datetime
) -> Revealed:
    """Show phone and e-mail once: written down first, counted against the person's daily limit.

    The limit (`REVEAL_DAILY_LIMIT`) counts the last 24 hours and holds under parallel requests: an
    advisory lock lets one reveal of a user in at a time. Errors: `reveal_limit`, `reason_required`.
    """
    if looker.user is None:
        raise TypeError("only a person reveals personal data")
    if not reason.strip():
        raise TierwiseError(_("Say why: a reason is required."), code="reason_required")
    limit = int(settings.REVEAL_DAILY_LIMIT)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, looker.user.pk])
        recent = AccessRecord.objects.filter(
            user_id=looker.user.pk, kind=Kind.REVEAL, at__gt=now - timedelta(days=1)
        ).count()
        if recent >= limit:
            message = _(
                "You have revealed %(limit)s customers within 24 hours, which is the limit."
            )
            raise TierwiseError(message % {"limit": limit}, code="reveal_limit")
        record_access(
            Kind.REVEAL,
            looker=looker,
            subject=f"customer:{customer.external_id}",
            now=now,
            rows=1,
            details={"fields": list(REVEALED), "reason": reason.strip()},
        )
    return Revealed(customer.phone, customer.email, limit - recent - 1)
