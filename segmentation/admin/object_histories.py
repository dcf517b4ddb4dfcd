"""What the histories of this app's objects are made of, beside their own event tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import ForeignKey, Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.masking import mask_email, mask_id, mask_phone
from segmentation.models import (
    Customer,
    CustomerList,
    CustomerTag,
    Event,
    FactVersion,
    Layering,
    Metric,
    Order,
    OrderLine,
    PrivacyRequest,
    Referral,
    Refund,
    Segment,
    TagGroup,
)

from . import shown
from .changes import ShownField, act_badge, plain_value
from .history import Entry, Source, add_history, event_source

KIND_OF: Mapping[type[Model], str] = {
    TagGroup: "tag",
    Metric: "metric",
    Layering: "layering",
    Segment: "segment",
    CustomerList: "list",
}
FACT_KINDS: Mapping[type[Model], str] = {
    Customer: "customers",
    Order: "orders",
    OrderLine: "order_lines",
    Refund: "refunds",
    Event: "events",
    Referral: "referrals",
    CustomerTag: "tags",
}
MASKS = {"phone": mask_phone, "email": mask_email, "unionid": mask_id, "external_userid": mask_id}
_UNTOLD = frozenset({"id", "batch", "ordinal", "erased_at", "merged_into"})
_REPLACED = gettext_lazy("A later import replaced it")


def events(name: str, *, app: str = "segmentation") -> type[Model]:
    return apps.get_model(app, name)


def filed_sources(kind: str, key: str, *, user: Any) -> Iterable[Source]:
    """Drafts of a definition and where it was filed."""
    for name in ("DraftEvent", "CardEvent"):
        yield event_source(events(name), user=user, kind=kind, key=key)


@add_history(TagGroup, Metric, Layering, Segment, CustomerList)
def definition_sources(row: Any, *, user: Any) -> Iterable[Source]:
    yield from filed_sources(KIND_OF[type(row)], row.key, user=user)
    if isinstance(row, Segment):
        yield event_source(events("ManualMemberEvent"), user=user, segment_id=row.pk)


@add_history(User)
def person_sources(person: User, *, user: Any) -> Iterable[Source]:
    for name in ("PersonRoleEvent", "PersonRightEvent", "StaffScopeEvent"):
        yield event_source(events(name), user=user, user_id=person.pk)


@add_history(Group)
def role_sources(role: Group, *, user: Any) -> Iterable[Source]:
    for name in ("RoleRightEvent", "PersonRoleEvent"):
        yield event_source(events(name), user=user, group_id=role.pk)


@add_history(*FACT_KINDS)
def replaced_sources(row: Any, *, user: Any) -> Iterable[Source]:
    """Versions that later imports replaced."""
    if not user.has_perm("segmentation.view_factversion"):
        return
    versions = FactVersion.objects.filter(kind=FACT_KINDS[type(row)], row_id=row.pk)
    yield Source(
        versions.select_related("superseded_by"),
        "superseded_by__recorded_at",
        lambda rows, request: _show_replaced(rows, request, current=row),
    )


def _show_replaced(
    rows: Sequence[FactVersion], request: HttpRequest, *, current: Any
) -> Sequence[Entry]:
    """Each replaced version against the one after it, or against what is current."""
    first = min(row.pk for row in rows)
    same = FactVersion.objects.filter(kind=rows[0].kind, row_id=rows[0].row_id)
    later = list(same.filter(pk__gte=first).order_by("pk").values_list("pk", "row"))
    following = {pk: content for (pk, _row), (_pk, content) in pairwise(later)}
    may_open = request.user.has_perm("segmentation.view_factbatch")
    found = []
    for row in rows:
        batch = row.superseded_by
        found.append(
            Entry(
                at=shown.instant(batch.recorded_at),
                what=str(_REPLACED),
                act=act_badge("update"),
                who=batch.actor,
                why=batch.file_name or shown.EMPTY,
                fields=_differences(type(current), row.row, following.get(row.pk), current),
                address=reverse("admin:segmentation_factbatch_change", args=[batch.pk])
                if may_open
                else "",
            )
        )
    return found


def _differences(
    model: type[Model], before: Mapping[str, Any], after: Mapping[str, Any] | None, current: Any
) -> tuple[ShownField, ...]:
    """Fields that differ; personal ones masked. Links to other rows are not told: they may be of
    customers whom the reader may not know."""
    found = []
    for field in model._meta.concrete_fields:
        if field.name in _UNTOLD or isinstance(field, ForeignKey):
            continue
        old = _stored(model, field.name, before)
        new = getattr(current, field.name) if after is None else _stored(model, field.name, after)
        if old != new:
            mask = MASKS.get(field.name)
            before_words, after_words = (
                mask(str(each)) if mask and each else plain_value(each) for each in (old, new)
            )
            title = capfirst(str(field.verbose_name))
            found.append(ShownField(title, before_words, after_words))
    return tuple(found)


def _stored(model: type[Model], name: str, row: Mapping[str, Any]) -> Any:
    """A field of a row that was kept as JSON, as the value it was."""
    raw = row.get(name)
    try:
        field: Any = model._meta.get_field(name)
        return None if raw is None else field.to_python(raw)
    except (FieldDoesNotExist, ValidationError):
        return raw


@add_history(Customer)
def customer_sources(customer: Customer, *, user: Any) -> Iterable[Source]:
    yield event_source(events("ManualMemberEvent"), user=user, customer_id=customer.pk)
    if user.has_perm("segmentation.view_privacyrequest"):
        asked = PrivacyRequest.objects.filter(customer_ref=customer.external_id)
        yield Source(asked, "requested_at", _show_wishes)


def _show_wishes(rows: Sequence[PrivacyRequest], request: HttpRequest) -> Sequence[Entry]:
    return [
        Entry(
            at=shown.instant(row.requested_at),
            what=row.get_kind_display(),
            act=shown.badge(_("Privacy request"), colour="warning"),
            who=row.actor,
            why=row.receipt,
        )
        for row in rows
    ]
