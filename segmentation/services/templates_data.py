"""Whether the data that templates need is there, and filling templates in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.reading import Report, load_value
from segmentation.domain.reading.metrics import read_metric
from segmentation.domain.reading.place import KEY
from segmentation.domain.writing import write_metric
from segmentation.models import Customer, Metric, Order, Referral

from .templates_shapes import Definition, Parameter, Template

LONGEST_KEY = 40  # what its metrics add must fit too
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?\Z")


@dataclass(frozen=True, slots=True)
class Need:
    """One kind of data: its words, and whether any of it is recorded."""

    name: str
    words: str | Promise
    is_there: bool


_LATELY = 5_000  # rows looked at where there is no index; all of a million would be slow


def _newest(rows: Any, **having: Any) -> bool:
    """Whether one of the newest rows has this."""
    newest = rows.order_by("-pk").values("pk")[:_LATELY]
    return bool(rows.filter(pk__in=newest, **having).exists())


_NEEDS: Mapping[str, tuple[str | Promise, Callable[[], bool]]] = {
    "orders": (gettext_lazy("orders"), Order.objects.exists),
    "is_promotion": (
        gettext_lazy("orders marked as promotion"),
        lambda: _newest(Order.objects, is_promotion=True),
    ),
    "birth_date": (
        gettext_lazy("birth dates"),
        lambda: _newest(Customer.objects, birth_date__isnull=False),
    ),
    "registered_at": (
        gettext_lazy("registration dates"),
        lambda: _newest(Customer.objects, registered_at__isnull=False),
    ),
    "referrals": (gettext_lazy("referrals"), Referral.objects.exists),
}


def needs(template: Template) -> tuple[Need, ...]:
    """What a template needs; without all of it the result finds nobody."""
    return tuple(Need(name, _NEEDS[name][0], _NEEDS[name][1]()) for name in template.needs)


def filled(template: Template, given: Mapping[str, str]) -> tuple[Definition, ...]:
    """The definitions of a template with these parameters (`key` and its own).

    A metric that is published with the same meaning is used instead of making another one. Raises
    TierwiseError with every problem, at `/<parameter>`.
    """
    values: dict[str, str] = {"key": given.get("key", "").strip()}
    problems: list[Problem] = []
    if not KEY.match(values["key"]) or len(values["key"]) > LONGEST_KEY:
        message = _("A key has up to %(count)d lower case letters, digits and “_”, a letter first.")
        problems.append(Problem("/key", "invalid_key", message % {"count": LONGEST_KEY}))
    for parameter in template.parameters:
        text = given.get(parameter.name, "").strip()
        values[parameter.name] = text
        problem = _problem(parameter, text)
        if problem:
            problems.append(Problem(f"/{parameter.name}", "out_of_range", problem))
    if problems:
        message = _("Some values are not possible.")
        raise TierwiseError(message, problems=tuple(problems))
    return _with_known_metrics(template.make(values))


def _problem(parameter: Parameter, text: str) -> str:
    if not _NUMBER.match(text) or (parameter.kind == "whole" and "." in text):
        if parameter.kind == "whole":
            return _("Write a whole number.")
        return _("Write a number.")
    if not parameter.low <= Decimal(text) <= parameter.high:
        words = {"low": f"{parameter.low:f}", "high": f"{parameter.high:f}"}
        return _("Write a number from %(low)s to %(high)s.") % words
    return ""


def _with_known_metrics(made: tuple[Definition, ...]) -> tuple[Definition, ...]:
    known = {
        _meaning(row.document): row.key
        for row in Metric.objects.filter(retired_at=None).order_by("-key")
    }
    instead: dict[str, str] = {}
    for kind, document in made:
        if kind == "metric" and (key := known.get(_meaning(document))) is not None:
            instead[document["key"]] = key
    return tuple(
        (kind, _renamed(document, instead))
        for kind, document in made
        if not (kind == "metric" and document["key"] in instead)
    )


def _meaning(document: Mapping[str, Any]) -> str:
    """What a metric computes, whatever it is called; one that can't be read is like no other."""
    content = {**document, "key": "meaning", "label": "meaning"}
    content.pop("value_kind", None)
    read = read_metric(load_value(content, Report()), "meaning", [])
    return repr(document) if read is None else repr(write_metric(read))


def _renamed(value: Any, instead: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: instead.get(child, child)
            if name == "metric" and isinstance(child, str)
            else _renamed(child, instead)
            for name, child in value.items()
        }
    if isinstance(value, list):
        return [_renamed(child, instead) for child in value]
    return value
