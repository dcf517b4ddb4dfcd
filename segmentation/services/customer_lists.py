"""Customer lists: named, filled by upload or from a page, read by rules (`{list: KEY}`)."""

from __future__ import annotations

from datetime import datetime

import pghistory
from django.db import transaction
from django.utils.translation import gettext as _
from pyroaring import BitMap

from segmentation.domain.definitions import Label
from segmentation.domain.dependencies import Ref, catalog_graph, dependents_of
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.reading.place import KEY
from segmentation.models import CustomerList, CustomerListMember
from segmentation.permissions import Viewer, may_see_hidden, visible_segments

from .definitions import current_catalog, lock_definitions
from .overtaken import refuse_overtaken

ADD_LIST = "segmentation.add_customerlist"
CHANGE_LIST = "segmentation.change_customerlist"
LONGEST_LABEL = 200
NAMED = ("label_en", "label_zh_hans", "note")


def create_list(
    *, key: str, label: Label, is_hidden: bool, note: str, viewer: Viewer, actor: str, reason: str
) -> CustomerList:
    """A new, empty list; whether it is hidden is fixed for good.

    Errors: `forbidden`, `invalid_key`, `duplicate_key` (also of a retired list), `out_of_range`.
    """
    _require(viewer, ADD_LIST)
    if is_hidden and not may_see_hidden(viewer):
        raise TierwiseError(_("You may not make restricted lists."), code="forbidden")
    if not KEY.match(key):
        message = _("Up to 64 lower case letters, digits and “_”, a letter first.")
        raise _problem("/key", "invalid_key", message)
    _check_label(label)
    with transaction.atomic(), pghistory.context(actor=actor, reason=reason):
        row, is_new = CustomerList.objects.get_or_create(
            key=key,
            defaults={
                "label_en": label.en,
                "label_zh_hans": label.zh_hans,
                "is_hidden": is_hidden,
                "note": note,
                "actor": actor,
            },
        )
    if not is_new:
        raise _problem("/key", "duplicate_key", _("This key is taken; choose another one."))
    return row


def rename_list(
    row: CustomerList,
    *,
    label: Label,
    note: str,
    viewer: Viewer,
    actor: str,
    reason: str,
    seen: str | None = None,
) -> CustomerList:
    """Change what a list is called and what it is for; its key stays.

    `seen` is the state (`overtaken.state_of` NAMED) that the person looked at. Errors: `forbidden`,
    `retired`, `out_of_range`, `overtaken`.
    """
    _require(viewer, CHANGE_LIST)
    _check_label(label)
    with transaction.atomic(), pghistory.context(actor=actor, reason=reason):
        held = _living(row)
        refuse_overtaken(held, seen=seen, fields=NAMED)
        held.label_en, held.label_zh_hans = label.en, label.zh_hans
        held.note, held.actor = note, actor
        held.save(update_fields=["label_en", "label_zh_hans", "note", "actor", "updated_at"])
    return held


def retire_list(
    row: CustomerList, *, viewer: Viewer, actor: str, reason: str, now: datetime
) -> CustomerList:
    """End a list: no rule can name it any more; members and history stay.

    Refused with `has_dependents` while a definition reads it (case S05); hidden segments are named
    only to those who may know of them. Errors also: `forbidden`, `retired`. `now`: the real clock.
    """
    _require(viewer, CHANGE_LIST)
    with transaction.atomic(), pghistory.context(actor=actor, reason=reason):
        lock_definitions(exclusive=True)
        held = _living(row)
        _refuse_used(held, viewer)
        held.retired_at, held.actor = now, actor
        held.save(update_fields=["retired_at", "actor", "updated_at"])
    return held


def users_of_list(key: str) -> tuple[Ref, ...]:
    """The living definitions whose rules name a list, sorted."""
    return dependents_of(catalog_graph(current_catalog()), Ref("list", key))


def list_members(row: CustomerList) -> BitMap:
    """The ordinals of a list's customers; erased ones are left out."""
    rows = CustomerListMember.objects.filter(list=row, customer__erased_at=None)
    return BitMap(rows.values_list("customer__ordinal", flat=True).iterator())


def _refuse_used(row: CustomerList, viewer: Viewer) -> None:
    users = users_of_list(row.key)
    if not users:
        return
    keys = [ref.key for ref in users if ref.kind == "segment"]
    seen = set(visible_segments(viewer).filter(key__in=keys).values_list("key", flat=True))
    named = [str(ref) for ref in users if ref.kind != "segment" or ref.key in seen]
    if len(named) < len(users):
        named.append(_("definitions you may not see"))
    message = _("The list is used by %(names)s; change or retire them first.")
    raise _problem("", "has_dependents", message % {"names": ", ".join(named)})


def _living(row: CustomerList) -> CustomerList:
    held = CustomerList.objects.select_for_update().get(pk=row.pk)
    if held.retired_at is not None:
        raise TierwiseError(_("The list %(list)s is retired.") % {"list": held.key}, code="retired")
    return held


def _check_label(label: Label) -> None:
    for language, text in (("en", label.en), ("zh-hans", label.zh_hans)):
        if not text.strip() or len(text) > LONGEST_LABEL:
            message = _("A name of 1 to %(longest)s characters in both languages is needed.")
            raise _problem(
                f"/label/{language}", "out_of_range", message % {"longest": LONGEST_LABEL}
            )


def _require(viewer: Viewer, right: str) -> None:
    if not viewer.has_perm(right):
        raise TierwiseError(_("You may not change lists."), code="forbidden")


def _problem(path: str, code: str, message: str) -> TierwiseError:
    return TierwiseError(message, code=code, problems=(Problem(path, code, message),))
