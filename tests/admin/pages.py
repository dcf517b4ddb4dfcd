"""Every address of the admin, for tests that walk all of them.

The walk asks the resolver, so a page that somebody adds is walked without being named here. What an
address needs is filled in from the rows of its model, or from ARGUMENTS; an address that can't be
filled fails the walk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any
from urllib.parse import quote

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote as quote_pk
from django.db.models import Model
from django.urls import get_resolver

from membership.models import Program
from segmentation.models import ApiKey, CustomerList, Job, Order, Segment
from segmentation.services.exporting import export_sources
from segmentation.services.templates_catalog import TEMPLATES

SAMPLES = 2  # newest objects of each model; the fixtures write what must not leak last
_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
# The row of the model that the address is below.
_ROWS = frozenset({"object_id", "pk", "id", "number", "prefix", "job_id", "run_id"})
_UNWALKED = {
    "logout": "ends the session of the walk",
    "view_on_site": "leads to pages of models; none of ours has one",
    None: "Django's redirect of an old address, or its answer to an unknown one",
}


@dataclass(frozen=True)
class Route:
    """A pattern of the resolver: its name, and its address with parameters."""

    name: str | None
    address: str

    @property
    def model(self) -> type[Model] | None:
        """The model that the address is below."""
        parts = self.address.split("/")
        if len(parts) < 4:
            return None
        try:
            return apps.get_model(parts[1], parts[2])
        except LookupError:
            return None


def routes() -> Iterator[Route]:
    """Every pattern below /admin/ that is to be walked."""
    for name, address in _patterns(get_resolver().url_patterns):
        if address.startswith("admin/") and name not in _UNWALKED:
            yield Route(name, address)


def _patterns(patterns: Iterable[Any], before: str = "") -> Iterator[tuple[str | None, str]]:
    for pattern in patterns:
        address = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _patterns(pattern.url_patterns, address)
        else:
            yield pattern.name, address


def _definitions() -> list[dict[str, str]]:
    """Kinds and keys of definitions: of segments and lists all, of the others one."""
    found = [{"kind": "segment", "key": row.key} for row in Segment.objects.all()]
    found += [{"kind": "list", "key": row.key} for row in CustomerList.objects.all()]
    models = {"tag": "taggroup", "metric": "metric", "layering": "layering"}
    for kind, name in models.items():
        row = apps.get_model("segmentation", name)._default_manager.order_by("key")[0]
        found.append({"kind": kind, "key": row.key})
    drafts = apps.get_model("segmentation", "Draft")._default_manager.all()
    found += [{"kind": row.kind, "key": row.key} for row in drafts]
    found += [{"kind": "program", "key": row.key} for row in Program.objects.all()]
    return found


# Parameters that are no row of the model, by name of the address: all combinations are walked.
ARGUMENTS: Mapping[str, Callable[[], Iterable[Mapping[str, object]]]] = {
    "app_list": lambda: [{"app_label": label} for label in ("segmentation", "membership", "auth")],
    "segmentation_factbatch_template": lambda: [{"kind": "orders"}, {"kind": "nothing"}],
    "segmentation_job_export": lambda: [{"source": name} for name in export_sources()],
    "segmentation_customer_order": lambda: [
        {"order": pk} for pk in Order.objects.order_by("-pk").values_list("pk", flat=True)[:SAMPLES]
    ],
    "segmentation_customer_terms": lambda: [{"program": row.key} for row in Program.objects.all()],
    "builder_template": lambda: [{"name": each.name} for each in TEMPLATES],
    **dict.fromkeys(
        (
            "builder_draft", "builder_portrait", "builder_preview", "builder_publish",
            "builder_retire", "builder_discard", "card_star", "card_file",
        ),
        _definitions,
    ),
}  # fmt: skip
_JOB_ADDRESSES = frozenset({"builder_preview_job", "builder_done"})


class Unfillable(AssertionError):
    """An address whose parameters nobody said how to fill."""


def addresses_of(route: Route) -> list[str]:
    """The addresses of a route, with every object that its parameters can mean."""
    if route.name == "app_list":
        return [f"/admin/{given['app_label']}/" for given in ARGUMENTS["app_list"]()]
    names = [name for _kind, name in _PARAMETER.findall(route.address)]
    if "^" in route.address or "(" in route.address:
        raise Unfillable(f"{route.name}: {route.address}")
    given: list[Mapping[str, object]] = [{}]
    if route.name and route.name in ARGUMENTS:
        given = list(ARGUMENTS[route.name]())
    rows = [name for name in names if name in _ROWS and not any(name in each for each in given)]
    keys = _keys(Job if route.name in _JOB_ADDRESSES else route.model) if rows else [""]
    found = []
    for values, key in product(given, keys):
        filled = {**values, **dict.fromkeys(rows, key)}
        missing = [name for name in names if name not in filled]
        if missing:
            raise Unfillable(f"{route.name}: {route.address}: {missing}")
        found.append("/" + _PARAMETER.sub(lambda match: str(filled[match[2]]), route.address))  # noqa: B023
    return found


def _keys(model: type[Model] | None) -> list[str]:
    if model is None:
        return []
    rows = model._default_manager.order_by("-pk")[:SAMPLES]
    return [row.prefix if isinstance(row, ApiKey) else quote_pk(row.pk) for row in rows]


def addresses(
    *, words: tuple[str, ...] = (), subjects: tuple[str, ...] = ()
) -> Iterator[tuple[str | None, str]]:
    """Names and addresses of every page; lists also searched for `words`, pages that take a
    subject (`segment:KEY`) also asked for each of `subjects`."""
    for route in routes():
        for address in addresses_of(route):
            yield route.name, address
            for query in _queries(route, words=words, subjects=subjects):
                yield route.name, f"{address}?{query}"


def _queries(route: Route, *, words: tuple[str, ...], subjects: tuple[str, ...]) -> Iterator[str]:
    name = route.name or ""
    page = admin.site._registry.get(route.model) if route.model else None
    if name.endswith("_changelist") and page is not None and page.search_fields:
        for word in words:
            yield f"q={quote(word)}"
    if name in ("segmentation_accessrecord_changelist", "pghistory_context_changelist"):
        yield "person=operations_manager"
        for subject in subjects:
            yield f"subject={quote(subject)}"
    if name == "search":
        for word in words:
            yield f"s={quote(word)}&extended=1"
    if name == "autocomplete":
        yield from _autocomplete(words)
    if name in ("portrait", "segmentation_customer_explain", "segmentation_customerlist_save"):
        for subject in subjects:
            yield f"subject={quote(subject)}"
    if name == "segmentation_segment_overlap":
        keys = Segment.objects.order_by("-pk").values_list("pk", "key")[:SAMPLES]
        yield from ("all=1", "show=share", "show=jaccard")
        yield "&".join(f"segment={pk}" for pk, _key in keys)
        for _pk, key in keys:
            yield f"with={quote(key)}"
    if name == "segmentation_segment_pair":
        for first, second in permutations(Segment.objects.order_by("-pk")[:SAMPLES], 2):
            yield f"first={first.pk}&second={second.pk}"
    if name == "segmentation_customer_subjects":
        for word in words:
            yield f"q={quote(word)}"
    if name in ("segmentation_job_export", "builder_start"):
        for subject in subjects:
            kind, _colon, key = subject.partition(":")
            yield f"key={quote(key)}&kind={kind}&from={quote(key)}"
    if name in ("builder_publish", "builder_retire"):
        yield "part=change"
    if name == "builder_portrait":
        yield "part=figures"
    if name in ("segmentation_segment_members", "segmentation_customerlist_members"):
        for which in ("entered", "left"):
            yield f"which={which}"


def _autocomplete(words: tuple[str, ...]) -> Iterator[str]:
    """For each model that boxes can offer, one relation to it: what is offered is the model's."""
    asked: set[type[Model]] = set()
    for model in admin.site._registry:
        for field in model._meta.get_fields():
            target = field.related_model
            if not (field.is_relation and field.concrete and target in admin.site._registry):
                continue
            if target in asked or model._meta.app_label not in ("segmentation", "membership"):
                continue
            asked.add(target)
            for word in ("", *words):
                yield (
                    f"app_label={model._meta.app_label}&model_name={model._meta.model_name}"
                    f"&field_name={field.name}&term={quote(word)}"
                )
