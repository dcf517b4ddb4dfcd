"""Where definitions are filed: folder, owner, stars, last use, and which nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pghistory
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from segmentation.domain.dependencies import Ref, catalog_graph
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.models import Card, DefinitionVersion, LastUse, Star
from segmentation.permissions import Viewer, visible_cards

from .definitions import MODELS, current_catalog
from .overtaken import refuse_overtaken, state_of
from .relations import program_uses

KINDS = ("tag", "metric", "layering", "segment", "program", "list")
UNUSED_DAYS = 90
MAX_FOLDER = 100
FILED = ("folder", "owner")


@dataclass(frozen=True, slots=True)
class Filing:
    """How one definition is filed, as one person sees it."""

    folder: str = ""
    owner: str = ""  # the user name
    owner_id: int | None = None
    is_starred: bool = False
    used_on: date | None = None


def filings(kind: str, *, keys: Iterable[str] | None = None, user: User) -> dict[str, Filing]:
    """How the definitions of a kind are filed, by key: three queries.

    Every asked key is there; without `keys` those that are filed, starred or were used.
    """
    wanted = None if keys is None else list(keys)
    narrow: dict[str, Any] = {"kind": kind} if wanted is None else {"kind": kind, "key__in": wanted}
    cards = {row.key: row for row in Card.objects.filter(**narrow).select_related("owner")}
    stars = set(Star.objects.filter(**narrow, user=user).values_list("key", flat=True))
    used = dict(LastUse.objects.filter(**narrow).values_list("key", "used_on"))
    found: dict[str, Filing] = {}
    for key in wanted if wanted is not None else sorted({*cards, *stars, *used}):
        card = cards.get(key)
        owner = card.owner if card else None
        found[key] = Filing(
            folder=card.folder if card else "",
            owner=owner.get_username() if owner else "",
            owner_id=owner.pk if owner else None,
            is_starred=key in stars,
            used_on=used.get(key),
        )
    return found


def filing(kind: str, key: str, *, user: User) -> Filing:
    """How one definition is filed."""
    return filings(kind, keys=[key], user=user)[key]


def filing_state(kind: str, key: str) -> str:
    """Names how a definition is filed now, for the form that changes it."""
    card = Card.objects.filter(kind=kind, key=key).first()
    return state_of(card or Card(kind=kind, key=key), FILED)


def file_definition(
    kind: str,
    key: str,
    *,
    folder: str,
    owner: User | None,
    actor: str,
    reason: str,
    seen: str | None = None,
) -> Card:
    """Put a definition into a folder and give it an owner; both in the audit.

    `seen` is the `filing_state` that the person looked at. Errors: `invalid`, `overtaken`.
    """
    folder = " ".join(folder.split())
    if len(folder) > MAX_FOLDER:
        message = _("A folder's name has at most %(count)d characters.") % {"count": MAX_FOLDER}
        raise TierwiseError(message, problems=(Problem("/folder", "out_of_range", message),))
    with transaction.atomic(), pghistory.context(actor=actor, reason=reason.strip()):
        card, is_new = Card.objects.select_for_update().get_or_create(
            kind=kind, key=key, defaults={"folder": folder, "owner": owner}
        )
        if not is_new:
            refuse_overtaken(card, seen=seen, fields=FILED)
        if not is_new and (card.folder, card.owner_id) != (folder, owner.pk if owner else None):
            card.folder, card.owner = folder, owner
            card.save(update_fields=["folder", "owner"])
    return card


def claim(kind: str, key: str, *, owner: User) -> Card:
    """Make `owner` answer for a definition that nobody answers for yet."""
    with transaction.atomic():
        card, _is_new = Card.objects.select_for_update().get_or_create(
            kind=kind, key=key, defaults={"owner": owner}
        )
        if card.owner_id is None:
            card.owner = owner
            card.save(update_fields=["owner"])
    return card


def folders(kind: str, *, viewer: Viewer) -> tuple[str, ...]:
    """The folders in use for what a person may know of a kind, sorted."""
    rows = visible_cards(viewer).filter(kind=kind).exclude(folder="").order_by("folder")
    return tuple(rows.values_list("folder", flat=True).distinct())


def star_keys(kind: str, *, user: User) -> frozenset[str]:
    """The keys that a person starred."""
    return frozenset(Star.objects.filter(kind=kind, user=user).values_list("key", flat=True))


def toggle_star(kind: str, key: str, *, user: User) -> bool:
    """Star a definition, or take the star off; the new state."""
    star, is_new = Star.objects.get_or_create(kind=kind, key=key, user=user)
    if not is_new:
        star.delete()
    return is_new


def note_use(kind: str, key: str, *, now: datetime) -> None:
    """Remember that a definition was opened, exported or read. `now`: the real clock's.

    One read, and at most one write a day, so every page and endpoint can afford it.
    """
    today = now.date()
    if LastUse.objects.filter(kind=kind, key=key, used_on__gte=today).exists():
        return
    LastUse.objects.update_or_create(kind=kind, key=key, defaults={"used_on": today})


def unused_for(kind: str, *, days: int = UNUSED_DAYS, now: datetime) -> frozenset[str]:
    """Living tags, metrics, layerings or segments that nobody seems to need.

    Nothing living names them, and in the last `days` they were neither opened, exported, read nor
    published. The caller keeps only what its reader may know of.
    """
    since = now - timedelta(days=days)
    needed = {ref.key for ref in _named_by_others() if ref.kind == kind}
    keys = set(MODELS[kind]._default_manager.filter(retired_at=None).values_list("key", flat=True))
    used = LastUse.objects.filter(kind=kind, used_on__gt=since.date())
    published = DefinitionVersion.objects.filter(kind=kind, published_at__gt=since)
    return frozenset(
        keys
        - needed
        - set(used.values_list("key", flat=True))
        - set(published.values_list("key", flat=True))
    )


def _named_by_others() -> Iterator[Ref]:
    """What living definitions name, programs by their versions in force or to come."""
    for refs in catalog_graph(current_catalog()).values():
        yield from refs
    for program in program_uses().values():
        yield from program.refs
