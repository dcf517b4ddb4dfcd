"""What a template is: a small document with parameters, and what data it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from django.utils.functional import Promise

Values = Mapping[str, str]
Definition = tuple[str, dict[str, Any]]  # kind and document
Make = Callable[[Values], tuple[Definition, ...]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing to fill in: a whole number, an amount, or a share from 0 to 1."""

    name: str
    label: str | Promise
    kind: Literal["whole", "amount", "share"]
    default: str
    unit: str | Promise = ""
    low: Decimal = Decimal(0)
    high: Decimal = Decimal(10**12)


@dataclass(frozen=True, slots=True)
class Template:
    """A ready definition: its names in both languages, what to fill in, what it makes.

    `make` gives the definitions, each after what it needs; the last one is what it is about. Its
    documents have the keys `{key}` and `{key}_...` of the parameter `key`. `needs` names the data
    (templates_data.py) without which it finds nobody.
    """

    name: str
    label_en: str
    label_zh_hans: str
    about: str | Promise
    icon: str
    needs: tuple[str, ...]
    make: Make
    parameters: tuple[Parameter, ...] = field(default=())


def metric(
    key: str, en: str, zh_hans: str, *, unit: str, window: Mapping[str, Any], fn: str,
    source: str = "orders", value_kind: str = "", **aggregate: Any,
) -> Definition:  # fmt: skip
    """A metric over facts."""
    document: dict[str, Any] = {
        "key": key,
        "label": {"en": en, "zh-hans": zh_hans},
        "unit": unit,
        "source": source,
        "aggregate": {"fn": fn, **aggregate},
        "window": dict(window),
    }
    if value_kind:
        document["value_kind"] = value_kind
    return "metric", document


def segment(
    key: str, en: str, zh_hans: str, *, purpose: str, rule: Mapping[str, Any]
) -> Definition:
    """An internal segment."""
    return "segment", {
        "key": key,
        "label": {"en": en, "zh-hans": zh_hans},
        "purpose": purpose,
        "visibility": "internal",
        "rule": dict(rule),
    }


def at(kind: str, name: str, cmp: str, value: Any, **more: Any) -> dict[str, Any]:
    """One condition."""
    return {kind: name, "cmp": cmp, "value": value, **more}
