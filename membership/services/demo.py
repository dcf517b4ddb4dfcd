"""What the demo decides: its history of month starts, what of it is still to be done, log-ins."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Collate
from django.utils.functional import Promise
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

from membership.services.definitions import definition_set
from segmentation.domain.windows import add_term, local_midnight
from segmentation.models import Customer, FactBatch, Run, StaffScope
from segmentation.queries import newest_published_run

FACT_FILES = (
    ("customers", "customers.csv"),
    ("customers", "contacts.csv"),
    ("orders", "orders.csv.gz"),
    ("order_lines", "order_lines.parquet"),
)
_FIRST_MONTH, _MONTHS = date(2017, 3, 1), 11
_ANSWERING = (Run.Status.PUBLISHED, Run.Status.HISTORICAL)
_WAITING = (Run.Status.QUEUED, Run.Status.RUNNING)
# Who can try the demo: user name, the group of the role as the migration made it, what a person
# reads. An empty group is the superuser.
_CAST: tuple[tuple[str, str, Promise], ...] = (
    ("operations", "Operations manager", _("Operations manager")),
    ("reviewer", "Reviewer", _("Reviewer")),
    ("analyst", "Analyst", _("Analyst")),
    ("support", "Support agent", _("Support agent")),
    (STORE_MANAGER := "store_manager", "Store manager", _("Store manager")),
    ("auditor", "Auditor", _("Auditor")),
    ("integration", "Integration", _("Integration engineer")),
    ("admin", "", _("Administrator (superuser)")),
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
    """A demo account, what its role is called, and the password: this instance's own, random."""

    name: str
    role: str
    password: str


def demo_logins(path: Path) -> tuple[Login, ...]:
    """One account for each role, in the role's group, and `admin`, a superuser.

    `store_manager` sees only the customers whose home store is the busiest one. The passwords are
    kept in `path`, mode 0600, one `name password` a line. An account whose password was changed
    elsewhere gets a new one, because nobody could tell it any more. What a person changed in the
    admin (rights, stores) stays. Raises Group.DoesNotExist if a role of the migrations is gone.
    """
    kept = _kept(path)
    with transaction.atomic():
        logins = tuple(
            _login(name, group=group, role=str(role), kept=kept) for name, group, role in _CAST
        )
    if {login.name: login.password for login in logins} != kept:
        _keep(path, logins)
    return logins


def busiest_store() -> str | None:
    """The home store of most customers; of equals the first by code point. None without stores."""
    stores = Customer.objects.filter(home_store__isnull=False).values("home_store")
    row = stores.annotate(n=Count("pk")).order_by("-n", Collate("home_store", "C")).first()
    return None if row is None else str(row["home_store"])


def _login(name: str, *, group: str, role: str, kept: dict[str, str]) -> Login:
    user, is_new = User.objects.get_or_create(
        username=name,
        defaults={
            "first_name": _name(group or "Administrator"),
            "is_staff": True,
            "is_superuser": not group,
        },
    )
    if is_new and group:
        user.groups.add(Group.objects.get(name=group))
    if is_new and name == STORE_MANAGER:
        store = busiest_store()
        StaffScope.objects.create(user=user, home_stores=[] if store is None else [store])
    return Login(name, role, _password(user, kept))


def _name(role: str) -> str:
    """A role in both languages, because a person's name is shown as it is stored."""
    with override("zh-hans"):
        return f"{gettext(role)} {role}"


def _password(user: User, kept: dict[str, str]) -> str:
    password = kept.get(user.username, "")
    if not password or not user.check_password(password):
        password = secrets.token_urlsafe(12)
        user.set_password(password)
        user.save(update_fields=["password"])
    return password


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
