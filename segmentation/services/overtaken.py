"""Small forms: what was there when one was opened must still be there when it is saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model
from django.utils.translation import gettext as _

from segmentation.domain.errors import TierwiseError

from .wording import listed, named

OVERTAKEN = "overtaken"
_LOOKED_BACK = 50  # events; older changes are told without a name


def state_of(row: Model, fields: Sequence[str]) -> str:
    """Names what these fields say now; a form carries it from its opening to its saving.

    By their columns: an event may name an account that is gone.
    """
    columns = [row._meta.get_field(name).attname for name in fields]  # type: ignore[union-attr]
    said = [str(getattr(row, column)) for column in columns]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def refuse_overtaken(row: Model, *, seen: str | None, fields: Sequence[str]) -> None:
    """Raise `overtaken`, with who changed the fields to what, unless they are as `seen`.

    Call it with the row locked. `seen` None: nobody looked, as with a command.
    """
    if seen is None or seen == state_of(row, fields):
        return
    now = listed(
        named(row._meta.get_field(name).verbose_name, _words(row, name))  # type: ignore[union-attr]
        for name in fields
    )
    message = _(
        "%(who)s changed this since you opened it; nothing was overwritten. It is now: %(now)s. "
        "Save again to overwrite it."
    )
    words = {"who": _who_changed(row, fields) or _("Somebody"), "now": now}
    raise TierwiseError(message % words, code=OVERTAKEN)


def _words(row: Model, name: str) -> str:
    try:
        return str(getattr(row, name) or "–")
    except ObjectDoesNotExist:  # the account went while the form was being saved
        return "–"


def _who_changed(row: Model, fields: Sequence[str]) -> str:
    """Who made the newest event after which one of the fields is another."""
    model = apps.get_model("segmentation", f"{type(row).__name__}Event")
    events = model._default_manager.filter(pgh_obj_id=row.pk).select_related("pgh_context")
    newest = list(events.order_by("-pgh_id")[:_LOOKED_BACK])
    for event, before in pairwise([*newest, None]):
        if before is None or state_of(event, fields) != state_of(before, fields):
            context = event.pgh_context
            return str(context.metadata.get("actor", "")) if context else ""
    return ""
