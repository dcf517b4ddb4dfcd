"""Roles and rights as the language of the request calls them; the database stores English names."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

_ACTS = {
    "add": _("Can add: %(what)s"),
    "change": _("Can change: %(what)s"),
    "delete": _("Can delete: %(what)s"),
    "view": _("Can view: %(what)s"),
}
# The roles a migration made.
ROLES = (
    _("Operations manager"),
    _("Reviewer"),
    _("Analyst"),
    _("Support agent"),
    _("Store manager"),
    _("Auditor"),
    _("Integration"),
)


def permission_words(permission: Permission) -> str:
    """A permission's name, with the part of the product it belongs to."""
    kind = permission.content_type
    act, _underscore, model = permission.codename.partition("_")
    if act in _ACTS and model == kind.model:
        found = kind.model_class()
        what = found._meta.verbose_name if found else kind.model
        what = _("role") if found is Group else what  # as our pages call it
        words = str(_ACTS[act]) % {"what": what}
    else:
        words = gettext(permission.name)
    return f"{kind.app_labeled_name.split(' | ')[0]} · {capfirst(words)}"


def role_words(group: Group) -> str:
    """A role's name; other groups are called what they are."""
    return gettext(group.name) if group.name else ""
