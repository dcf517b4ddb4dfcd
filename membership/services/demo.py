"""What the demo decides: its history of month starts, what of it is still to be done, log-ins."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import F, Q

from membership.services.definitions import definition_set
from segmentation.domain.windows import add_term, local_midnight
from segmentation.models import FactBatch, Run
from segmentation.queries import newest_published_run

FACT_FILES = (
    ("customers", "customers.csv"),
    ("orders", "orders.csv.gz"),
    ("order_lines", "order_lines.parquet"),
)
_FIRST_MONTH, _MONTHS = date(2017, 3, 1), 11
_ANSWERING = (Run.Status.PUBLISHED, Run.Status.HISTORICAL)
_WAITING = (Run.Status.QUEUED, Run.Status.RUNNING)
SUPPORT_GROUP = "Support agent"
_SUPPORT_SEES = (
    ("segmentation", "customer customertag order orderline refund event referral segment"),
    ("membership", "program programversion tier membership transition"),
)


def month_starts(zone: ZoneInfo) -> tuple[datetime, ...]:
    """The as-of instants of the demo, rising: local midnights 2017-03-01 to 2018-01-01."""
    return tuple(
        local_midnight(add_term(_FIRST_MONTH, months=number), zone) for number in range(_MONTHS)
    )


def as_ofs_to_do(zone: ZoneInfo) -> tuple[datetime, ...]:
    """Which as-ofs the demo still has to compute, rising; empty when all is there and current.

    Month starts that nobody computed yet come first. If the newest result is behind the facts or
    the definitions and no later month start follows, it is computed again; the older ones stay
    what they were, because they are history.
    """
    done = set(Run.objects.filter(status__in=_ANSWERING).values_list("as_of", flat=True))
    missing = [as_of for as_of in month_starts(zone) if as_of not in done]
    newest = newest_published_run()
    if newest is None or any(as_of > newest.as_of for as_of in missing):
        return tuple(missing)
    return (*missing, newest.as_of) if _is_behind(newest) else tuple(missing)


def waiting_run(as_of: datetime) -> Run | None:
    """A run of this as-of that was asked for before and is not finished."""
    asked = Run.objects.filter(as_of=as_of, status__in=_WAITING, is_dry_run=False)
    return asked.order_by("pk").first()


def demo_history(zone: ZoneInfo) -> Sequence[Run]:
    """The answering run of each month start and the current one, by as-of; the last of equals."""
    answering = Run.objects.filter(status__in=_ANSWERING, as_of__in=month_starts(zone))
    by_as_of = {run.as_of: run for run in answering.order_by("pk")}
    newest = newest_published_run()
    if newest is not None:
        by_as_of[newest.as_of] = newest
    return [by_as_of[as_of] for as_of in sorted(by_as_of)]


def _is_behind(run: Run) -> bool:
    """Whether facts were recorded or definitions changed since this run took its basis."""
    if run.definition_set is None or run.definition_set.digest != definition_set().digest:
        return True
    later = Q(generation=None) | Q(generation__gt=run.watermark)
    return (
        FactBatch.objects.filter(later)
        .annotate(n=F("inserted") + F("updated"))
        .filter(n__gt=0)
        .exists()
    )


@dataclass(frozen=True, slots=True)
class Login:
    """A demo account; the password is this instance's own and random."""

    name: str
    password: str


def demo_logins(path: Path) -> tuple[Login, ...]:
    """`operations` (may do everything) and `support` (sees customers, nothing hidden).

    The passwords are kept in `path`, mode 0600, one `name password` a line. An account whose
    password was changed elsewhere gets a new one, because nobody could tell it any more.
    """
    kept = _kept(path)
    with transaction.atomic():
        logins = (_operations(kept), _support(kept))
    if {login.name: login.password for login in logins} != kept:
        _keep(path, logins)
    return logins


def _operations(kept: dict[str, str]) -> Login:
    user, _ = User.objects.get_or_create(
        username="operations",
        defaults={"first_name": "Operations manager", "is_staff": True, "is_superuser": True},
    )
    return _with_password(user, kept)


def _support(kept: dict[str, str]) -> Login:
    group, is_new = Group.objects.get_or_create(name=SUPPORT_GROUP)
    if is_new:
        for app, models in _SUPPORT_SEES:
            names = [f"view_{model}" for model in models.split()]
            group.permissions.add(
                *Permission.objects.filter(content_type__app_label=app, codename__in=names)
            )
    user, _ = User.objects.get_or_create(
        username="support", defaults={"first_name": "Support agent", "is_staff": True}
    )
    user.groups.add(group)
    return _with_password(user, kept)


def _with_password(user: User, kept: dict[str, str]) -> Login:
    password = kept.get(user.username, "")
    if not password or not user.check_password(password):
        password = secrets.token_urlsafe(12)
        user.set_password(password)
        user.save(update_fields=["password"])
    return Login(user.username, password)


def _kept(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {name: password for name, _, password in (line.partition(" ") for line in lines)}


def _keep(path: Path, logins: Sequence[Login]) -> None:
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.writelines(f"{login.name} {login.password}\n" for login in logins)
    draft.replace(path)
