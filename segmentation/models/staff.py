"""Changes to people, their roles and the roles' rights, kept by database triggers.

The tables are Django's own; proxies of them carry the triggers. Neither a password nor the time of
a log-in is kept: the first must not be, the second has its own log.
"""

from __future__ import annotations

from typing import Any

import pghistory
from django.contrib.auth.models import Group, User
from django.utils.translation import gettext_lazy as _

from .definitions import history_names


def _rows(plural: Any, *, model_name: str, is_link: bool = False, exclude: Any = ()) -> Any:
    """The decorator of a proxy; a link between two rows comes and goes and never changes."""
    trackers = [
        pghistory.InsertEvent(level=pghistory.Statement),
        pghistory.DeleteEvent(level=pghistory.Statement),
    ]
    options: dict[str, Any] = {"obj_field": None} if is_link else {}
    if not is_link:
        trackers.append(pghistory.UpdateEvent(level=pghistory.Statement))
    return pghistory.track(
        *trackers,
        app_label="segmentation",
        model_name=model_name,
        exclude=["id", *exclude],
        meta={**history_names(plural), "default_permissions": ()},
        **options,
    )


@_rows(
    _("staff"),
    model_name="PersonEvent",
    exclude=("password", "last_login", "date_joined"),
)
class Person(User):
    """A member of staff."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("person")
        verbose_name_plural = _("staff")


@_rows(_("roles"), model_name="RoleEvent")
class Role(Group):
    """A role: a named set of rights."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("role")
        verbose_name_plural = _("roles")


@_rows(_("roles of people"), model_name="PersonRoleEvent", is_link=True)
class PersonRole(User.groups.through):  # type: ignore[name-defined,misc]
    """A person has a role."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("role of a person")
        verbose_name_plural = _("roles of people")


@_rows(_("rights of roles"), model_name="RoleRightEvent", is_link=True)
class RoleRight(Group.permissions.through):  # type: ignore[name-defined,misc]
    """A role has a right."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("right of a role")
        verbose_name_plural = _("rights of roles")


@_rows(_("rights of people"), model_name="PersonRightEvent", is_link=True)
class PersonRight(User.user_permissions.through):  # type: ignore[name-defined,misc]
    """A person has a right that does not come with a role."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("right of a person")
        verbose_name_plural = _("rights of people")
