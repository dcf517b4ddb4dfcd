"""Keys of outside systems: made, listed, revoked. Only hashes are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pghistory
from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from segmentation.domain.errors import NotFoundError, Problem, TierwiseError
from segmentation.models import ApiKey
from segmentation.models.access import SCOPES
from segmentation.permissions import CANCEL_RUN, REQUEST_RUN, VIEW_HIDDEN, Viewer

_LONGEST_NAME = 50
# What somebody may do who gives a scope to a key: a key does no more than whoever made it.
_RIGHTS = {
    "facts:write": "segmentation.import_facts",
    "customers:read": "segmentation.view_customer",
    "customers:write": "segmentation.add_privacyrequest",
    "members:read": "membership.view_membership",
    # What checkouts bring from outside, as facts are.
    "redemptions:write": "segmentation.import_facts",
    # Members and sizes as runs found them; a definition's rule is in no answer.
    "segments:read": "segmentation.view_segmentresult",
    "segments:read_hidden": VIEW_HIDDEN,
    "runs:read": "segmentation.view_run",
    "runs:write": REQUEST_RUN,
    "runs:cancel": CANCEL_RUN,
}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; `key` is shown this once and cannot be read again."""

    name: str
    key: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key: its first characters, never the secret."""

    name: str
    prefix: str
    scopes: tuple[str, ...]
    created: datetime
    revoked: bool
    home_stores: tuple[str, ...] | None  # the row scope; None: customers of all stores


def grantable_scopes(user: Viewer) -> tuple[str, ...]:
    """The scopes that this person may give to a key: those whose right they have."""
    return tuple(scope for scope in SCOPES if user.has_perm(_RIGHTS[scope]))


def create_api_key(
    name: str,
    *,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    home_stores: Sequence[str] | None = None,
    actor: str = "operator",
) -> NewKey:
    """Make a key with these scopes; with `home_stores` it reads customers of these stores only.

    Errors: `invalid` (details name each wrong name, scope or store), `name_taken` when a key of
    that name is not revoked. `expires_at` is read against the real clock.
    """
    wanted = tuple(dict.fromkeys(scopes))
    stores = None if home_stores is None else list(dict.fromkeys(home_stores))
    problems = (*_name_problems(name), *_scope_problems(wanted), *_store_problems(stores))
    if problems:
        raise TierwiseError(_("The key was not made."), problems=problems)
    try:
        with transaction.atomic(), pghistory.context(actor=actor):
            _made, key = ApiKey.objects.create_key(
                name=name, scopes=list(wanted), expiry_date=expires_at, home_stores=stores
            )
    except IntegrityError:
        raise TierwiseError(
            _("There is a key named %(name)s already. Revoke it first or take another name.")
            % {"name": name},
            code="name_taken",
        ) from None
    return NewKey(name=name, key=key, scopes=wanted)


def list_api_keys() -> tuple[KeyRecord, ...]:
    """All keys, revoked ones too, the oldest first."""
    return tuple(_record(each) for each in ApiKey.objects.order_by("created", "pk"))


def revoke_api_key(name: str, *, actor: str = "operator") -> KeyRecord:
    """Revoke the live key of that name, for good; `not_found` when there is none."""
    with transaction.atomic(), pghistory.context(actor=actor):
        found = ApiKey.objects.select_for_update().filter(name=name, revoked=False).first()
        if found is None:
            raise NotFoundError(_("There is no key named %(name)s in use.") % {"name": name})
        found.revoked = True
        found.save(update_fields=["revoked"])
    return _record(found)


def count_request(key: ApiKey, *, stretch: int) -> int:
    """Count one request in a stretch of time; gives how many the key has made in it by now.

    One atomic statement, so parallel requests of all processes are counted exactly.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [key.pk, stretch])
        row = cursor.fetchone()
    return int(row[0])


_COUNT = """
    INSERT INTO segmentation_apikeyuse AS used (key_id, stretch, requests) VALUES (%s, %s, 1)
    ON CONFLICT (key_id) DO UPDATE SET
        stretch = excluded.stretch,
        requests = CASE WHEN used.stretch = excluded.stretch THEN used.requests + 1 ELSE 1 END
    RETURNING requests
"""


def _record(key: ApiKey) -> KeyRecord:
    stores = None if key.home_stores is None else tuple(key.home_stores)
    return KeyRecord(key.name, key.prefix, tuple(key.scopes), key.created, key.revoked, stores)


def _name_problems(name: str) -> tuple[Problem, ...]:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        message = _("Write a name of 1 to %(most)s characters.") % {"most": _LONGEST_NAME}
        return (Problem("/name", "invalid_name", message),)
    return ()


def _store_problems(stores: Sequence[str] | None) -> tuple[Problem, ...]:
    if stores is None:
        return ()
    if not stores:
        message = _("Name at least one store, or leave the row scope out for all stores.")
        return (Problem("/stores", "required", message),)
    return tuple(
        Problem(f"/stores/{index}", "invalid_store", _("A store has a name."))
        for index, store in enumerate(stores)
        if not store.strip() or "\x00" in store
    )


def _scope_problems(scopes: tuple[str, ...]) -> tuple[Problem, ...]:
    known = ", ".join(SCOPES)
    if not scopes:
        message = _("Name at least one scope: %(known)s.") % {"known": known}
        return (Problem("/scopes", "required", message),)
    return tuple(
        Problem(
            f"/scopes/{index}",
            "unknown_scope",
            _("%(scope)s is no scope. Scopes are: %(known)s.") % {"scope": scope, "known": known},
        )
        for index, scope in enumerate(scopes)
        if scope not in SCOPES
    )
