"""The star beside a definition."""

from __future__ import annotations

from django.template.loader import render_to_string
from django.utils.safestring import SafeString


def star_button(kind: str, key: str, *, is_starred: bool) -> SafeString:
    """The star of one definition, to be clicked; the answer is the button as it is then."""
    context = {"kind": kind, "key": key, "is_starred": is_starred}
    return render_to_string("admin/builder/star.html", context)
