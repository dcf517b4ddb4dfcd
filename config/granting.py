"""Nobody gives away more than they have, and nobody takes over somebody who has more.

Django's own pages let whoever may change people make anybody, themselves too, a superuser.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet

from segmentation.models import StaffScope
from segmentation.permissions import row_scope


def grantable_rights(actor: Any) -> QuerySet[Permission]:
    """The rights that this person may give to somebody: their own."""
    if actor.is_superuser:
        return Permission.objects.all()
    return _rights_of(actor)


def grantable_roles(actor: Any) -> QuerySet[Group]:
    """The roles that hold no right which this person lacks."""
    if actor.is_superuser:
        return Group.objects.all()
    beyond = Permission.objects.exclude(pk__in=_rights_of(actor).values("pk"))
    return Group.objects.exclude(permissions__in=beyond)


def may_change_person(actor: Any, person: User) -> bool:
    """Whether this person may change, log in as or remove the other: one with no right and no
    store that they lack. An inactive one counts with what they would have."""
    if actor.is_superuser:
        return True
    if person.is_superuser:
        return False
    beyond = _rights_of(person).exclude(pk__in=_rights_of(actor).values("pk"))
    return not beyond.exists() and _stores_are_within(actor, person)


def may_change_role(actor: Any, role: Group) -> bool:
    """Whether this person has every right that the role gives."""
    return actor.is_superuser or grantable_roles(actor).filter(pk=role.pk).exists()


def _rights_of(person: Any) -> QuerySet[Permission]:
    own = Q(user=person.pk) | Q(group__user=person.pk)
    return Permission.objects.filter(pk__in=Permission.objects.filter(own).values("pk"))


def _stores_are_within(actor: Any, person: User) -> bool:
    stores = row_scope(actor)
    if stores is None:
        return True
    scope = StaffScope.objects.filter(user=person.pk).values_list("home_stores", flat=True)
    return set(scope.first() or ()) <= set(stores)
