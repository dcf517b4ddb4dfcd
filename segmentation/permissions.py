"""Who may see what: the one place that scopes hidden segments and customers of other stores.

A hidden segment is invisible without `segmentation.view_hidden_segment`: its name, key, rule,
size, members, history and mere existence. The same holds for hidden lists, drafts and jobs.
A person without `segmentation.view_all_customers` sees the customers of the own home stores and
nothing about others. Every screen, list, filter, export and endpoint that could show a row starts
from a function of this module; the leak test walks all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from django.apps import apps
from django.db.models import Model, Q, QuerySet, Value
from django.db.models.functions import Concat
from pyroaring import BitMap

from .models import (
    AccessRecord,
    Card,
    Customer,
    CustomerList,
    CustomerMerge,
    DefinitionSet,
    DefinitionVersion,
    Draft,
    Job,
    ManualMember,
    Segment,
    SegmentResult,
    StaffScope,
    living,
)
from .queries import Withdrawn, withdrawn

VIEW_HIDDEN = "segmentation.view_hidden_segment"
VIEW_ALL_CUSTOMERS = "segmentation.view_all_customers"
VIEW_ALL_JOBS = "segmentation.view_all_jobs"
CANCEL_ALL_JOBS = "segmentation.cancel_all_jobs"
REQUEST_RUN = "segmentation.request_run"
VERIFY_RUN = "segmentation.verify_run"
CANCEL_RUN = "segmentation.cancel_run"
RELEASE_RUN = "segmentation.release_run"
OVERRIDE_FREEZE = "segmentation.override_freeze"
IMPORT_FACTS = "segmentation.import_facts"
EXPORT_DATA = "segmentation.export_data"
EXPORT_PERSONAL = "segmentation.export_personal_data"
REVEAL_PERSONAL = "segmentation.reveal_personal_data"
EDIT_DRAFTS = "segmentation.change_draft"
MERGE_CUSTOMERS = "segmentation.merge_customers"

_Row = TypeVar("_Row", bound=Model)


class Viewer(Protocol):
    """Whoever looks: a staff user, the anonymous one, or an API key (api/viewer.py)."""

    @property
    def pk(self) -> Any: ...

    def has_perm(self, perm: str, /) -> bool: ...


def publish_permission(kind: str) -> str:
    """The right to publish definitions of `kind`: tag, metric, layering, segment, program."""
    return f"segmentation.publish_{kind}"


def row_scope(user: Viewer) -> tuple[str, ...] | None:
    """The home stores whose customers this user may see; None: the customers of all."""
    own = getattr(user, "home_stores", None)
    if own is not None:
        return tuple(own)
    if user.has_perm(VIEW_ALL_CUSTOMERS):
        return None
    scope = StaffScope.objects.filter(user_id=user.pk).values_list("home_stores", flat=True)
    return tuple(scope.first() or ())


def visible_customers(user: Viewer) -> QuerySet[Customer]:
    """The customers this user may know of; one who is erased or was merged is nobody's."""
    stores = row_scope(user)
    customers = Customer.objects.filter(living())
    return customers if stores is None else customers.filter(home_store__in=stores)


def of_visible_customers(
    rows: QuerySet[_Row], *, user: Viewer, customer: str = "customer"
) -> QuerySet[_Row]:
    """Rows whose customer (the path `customer` leads to one) this user may know of."""
    stores = row_scope(user)
    return rows if stores is None else rows.filter(**{f"{customer}__home_store__in": stores})


def visible_merges(user: Viewer) -> QuerySet[CustomerMerge]:
    """Merges of customers this user may know of, on both sides; none of an erased person."""
    merges = CustomerMerge.objects.filter(survivor__erased_at=None, merged__erased_at=None)
    merges = of_visible_customers(merges, user=user, customer="survivor")
    return of_visible_customers(merges, user=user, customer="merged")


def visible_ordinals(user: Viewer) -> BitMap | None:
    """Bitmap positions of the customers this user may know of; None: of all.

    Sizes, portraits and members are intersected with it before they are shown.
    """
    if row_scope(user) is None:
        return None
    return BitMap(visible_customers(user).values_list("ordinal", flat=True).iterator())


@dataclass(frozen=True, slots=True)
class Sight:
    """What one user may see of stored bitmaps. Made once a request, used for each bitmap in it."""

    only: BitMap | None  # None: customers of all stores
    withdrawn: Withdrawn

    def members(self, stored: BitMap, *, is_hidden: bool) -> BitMap:
        """Of a stored bitmap what this user may see now: in the row scope, nobody erased and, of
        a hidden segment, nobody who objects to personalised decisions."""
        kept = self.withdrawn.removed_from(stored, is_hidden=is_hidden)
        return kept if self.only is None else kept & self.only

    def sees_all(self, *, is_hidden: bool) -> bool:
        """Whether stored sizes hold for this user, so that no bitmap need be read."""
        return self.only is None and self.withdrawn.changes_nothing(is_hidden=is_hidden)


def sight(user: Viewer) -> Sight:
    """How bitmaps are cut before this user sees members, sizes, exports or portraits of them."""
    return Sight(visible_ordinals(user), withdrawn())


def visible_lists(user: Viewer) -> QuerySet[CustomerList]:
    """The customer lists this user may know of."""
    lists = CustomerList.objects.all()
    return lists if may_see_hidden(user) else lists.filter(is_hidden=False)


def visible_cards(user: Viewer) -> QuerySet[Card]:
    """Folders and owners of what this user may know of."""
    cards = Card.objects.all()
    if may_see_hidden(user):
        return cards
    segments, lists = visible_segments(user).values("key"), visible_lists(user).values("key")
    return cards.exclude(~Q(key__in=segments), kind="segment").exclude(
        ~Q(key__in=lists), kind="list"
    )


def visible_drafts(user: Viewer) -> QuerySet[Draft]:
    """The drafts this user may know of: none of a segment that is, was or would be hidden."""
    drafts = Draft.objects.all()
    if may_see_hidden(user):
        return drafts
    hidden = Segment.objects.filter(is_hidden=True).values("key")
    return drafts.filter(is_hidden=False).exclude(kind="segment", key__in=hidden)


def visible_jobs(user: Viewer) -> QuerySet[Job]:
    """The own jobs, or with the right everybody's; never one about something hidden without it."""
    jobs = Job.objects.all()
    if not may_see_hidden(user):
        # What was hidden only after the job was asked for is hidden as well.
        segments = Segment.objects.filter(is_hidden=True)
        lists = CustomerList.objects.filter(is_hidden=True)
        jobs = jobs.filter(is_hidden=False)
        jobs = jobs.exclude(subject__in=segments.values_list(Concat(Value("segment:"), "key")))
        jobs = jobs.exclude(subject__in=lists.values_list(Concat(Value("list:"), "key")))
    return jobs if user.has_perm(VIEW_ALL_JOBS) else jobs.filter(requested_by_id=user.pk)


def may_see_hidden(user: Viewer) -> bool:
    """Whether hidden segments exist at all for this user."""
    return user.has_perm(VIEW_HIDDEN)


def visible_segments(user: Viewer) -> QuerySet[Segment]:
    """The segments this user may know of."""
    segments = Segment.objects.all()
    return segments if may_see_hidden(user) else segments.filter(is_hidden=False)


def visible_results(user: Viewer) -> QuerySet[SegmentResult]:
    """What runs published about the segments this user may know of."""
    results = SegmentResult.objects.all()
    return results if may_see_hidden(user) else results.filter(segment__is_hidden=False)


def visible_manual_members(user: Viewer) -> QuerySet[ManualMember]:
    """Manual includes and excludes of the segments this user may know of."""
    rows = ManualMember.objects.all()
    return rows if may_see_hidden(user) else rows.filter(segment__is_hidden=False)


def visible_versions(user: Viewer) -> QuerySet[DefinitionVersion]:
    """Definition versions; of segments only those that were, and whose segment is, internal."""
    versions = DefinitionVersion.objects.all()
    if may_see_hidden(user):
        return versions
    internal = Q(
        kind="segment",
        document__visibility="internal",
        key__in=visible_segments(user).values("key"),
    )
    return versions.filter(~Q(kind="segment") | internal)


def visible_definition_sets(user: Viewer) -> QuerySet[DefinitionSet]:
    """Definition sets hold every rule of a run, so they need the right to see hidden ones."""
    sets = DefinitionSet.objects.all()
    return sets if may_see_hidden(user) else sets.none()


# Who may see changes of these tables: those who may see what changed. All others: the event
# table's own view right.
_HISTORY_RIGHTS = {
    "PersonEvent": "auth.view_user",
    "PersonRoleEvent": "auth.view_user",
    "PersonRightEvent": "auth.view_user",
    "StaffScopeEvent": "auth.view_user",
    "RoleEvent": "auth.view_group",
    "RoleRightEvent": "auth.view_group",
    "ApiKeyEvent": "segmentation.view_apikey",
}


def history_permission(events: type[Model]) -> str:
    """The right to see what an event table kept."""
    own = f"{events._meta.app_label}.view_{events._meta.model_name}"
    return _HISTORY_RIGHTS.get(events.__name__, own)


def visible_history(events: QuerySet[_Row], *, user: Viewer) -> QuerySet[_Row]:
    """Rows of an event table, without those about something that is or was hidden, and without
    those about customers of other stores."""
    if any(field.name == "customer" for field in events.model._meta.concrete_fields):
        stores = row_scope(user)
        if stores is not None:
            known = Customer.objects.filter(home_store__in=stores).values("pk")
            events = events.filter(customer_id__in=known)
    if may_see_hidden(user):
        return events
    match events.model.__name__:
        case "SegmentEvent":
            segments = visible_segments(user).values("pk")
            return events.filter(is_hidden=False, pgh_obj_id__in=segments)
        case "CustomerListEvent":
            lists = visible_lists(user).values("pk")
            return events.filter(is_hidden=False, pgh_obj_id__in=lists)
        case "ManualMemberEvent":
            return events.filter(segment_id__in=visible_segments(user).values("pk"))
        case "DraftEvent" | "CardEvent":
            return _visible_filed(events, user=user)
    return events


def _visible_filed(events: QuerySet[_Row], *, user: Viewer) -> QuerySet[_Row]:
    """Rows named by kind and key: none of a segment or list that is, was or would be hidden."""
    kept = Q(key__in=visible_segments(user).values("key"))
    if events.model.__name__ == "DraftEvent":
        hidden_once = events.model._default_manager.filter(is_hidden=True)
        kept = Q(is_hidden=False) & ~Q(key__in=hidden_once.values("key"))
        kept &= ~Q(key__in=Segment.objects.filter(is_hidden=True).values("key"))
    lists = Q(key__in=visible_lists(user).values("key"))
    return events.filter(~Q(kind="segment") | kept).filter(~Q(kind="list") | lists)


def visible_access(user: Viewer) -> QuerySet[AccessRecord]:
    """Looks this user may know of: none at something hidden without the right, none at customers
    of other stores."""
    records = AccessRecord.objects.all()
    if not may_see_hidden(user):
        hidden = Segment.objects.filter(is_hidden=True).values("key")
        lists = CustomerList.objects.filter(is_hidden=True).values("key")
        records = records.filter(is_hidden=False)
        records = records.exclude(subject_kind="segment", subject_key__in=hidden)
        records = records.exclude(subject_kind="list", subject_key__in=lists)
    if row_scope(user) is not None:
        known = visible_customers(user).values("external_id")
        records = records.filter(subject_kind="customer", subject_key__in=known)
    return records


def restricted_models() -> tuple[type[Model], ...]:
    """Models whose rows can name a hidden segment; clicks on them are restricted as well."""
    return (
        Segment,
        SegmentResult,
        ManualMember,
        DefinitionVersion,
        DefinitionSet,
        CustomerList,
        Draft,
        Job,
        *(
            apps.get_model("segmentation", f"{name}Event")
            for name in ("Segment", "ManualMember", "CustomerList", "Draft", "Card")
        ),
    )


def hidden_words(user: Viewer) -> frozenset[str]:
    """Keys and names that must not appear in free text (logs, errors) shown to this user."""
    if may_see_hidden(user):
        return frozenset()
    columns = ("key", "label_en", "label_zh_hans")
    rows = [
        *Segment.objects.filter(is_hidden=True).values_list(*columns),
        *CustomerList.objects.filter(is_hidden=True).values_list(*columns),
    ]
    drafts = Draft.objects.filter(is_hidden=True).values_list("key", flat=True)
    return frozenset(word for row in [*rows, *((key,) for key in drafts)] for word in row if word)


def mentions_hidden(text: str, *, words: frozenset[str]) -> bool:
    """Whether a text names a hidden segment; case does not matter."""
    folded = text.casefold()
    return any(word.casefold() in folded for word in words)
