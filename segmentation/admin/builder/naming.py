"""Names typed where a key is meant: people know "Growth value", not `growth_value`."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import QueryDict

from .vocabulary import Vocabulary

_KEY = re.compile(r"[a-z0-9_.]*")
_SUBJECT = ":subject"


def keyed(fields: QueryDict, *, words: Callable[[], Vocabulary]) -> QueryDict:
    """The same fields with the keys of what was named in full, in either language.

    What names nothing, or several things, stays as it was typed, for the checks to complain about.
    `words` is asked only when something was typed that can be no key: it reads every name there is.
    """
    typed = {
        name: kind
        for name in fields
        if (kind := _kind(fields, name)) and not _KEY.fullmatch(fields.get(name, "").strip())
    }
    if not typed:
        return fields
    known, found = words(), fields.copy()
    for name, kind in typed.items():
        text = fields.get(name, "").strip()
        found[name] = known.key_named(kind, text) or text
    return found


def _kind(fields: QueryDict, name: str) -> str:
    """What kind of thing a field names; "" for the other fields."""
    if name.endswith(_SUBJECT):
        return str(fields.get(f"{name.removesuffix(_SUBJECT)}:kind", ""))
    is_metric = name == "metric" or (name.startswith("term.") and name.endswith(":metric"))
    return "metric" if is_metric else ""
