"""Definitions back to documents: the normalised form that is stored, compared and replayed.

Reading what is written here gives an equal definition, and equal definitions are written equally
byte for byte (`canonical_json`). Numbers are strings, every default is written out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any as Json

from .definitions import (
    Aggregate,
    Catalog,
    FactMetric,
    FieldTest,
    Filter,
    FilterAll,
    FilterAny,
    FilterNot,
    FormulaMetric,
    Label,
    Layering,
    Metric,
    Segment,
    TagGroup,
    Window,
)
from .rules import (
    All,
    Any,
    AttrLeaf,
    BucketLeaf,
    LayerLeaf,
    ListLeaf,
    MetricLeaf,
    Node,
    Not,
    SegmentLeaf,
    TagLeaf,
    TierLeaf,
    Value,
)

Document = dict[str, Json]


def canonical_json(document: Mapping[str, Json]) -> str:
    """The one spelling of a document: sorted keys, no blanks, characters as they are."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(document: Mapping[str, Json]) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def write_number(value: Decimal) -> str:
    """Without exponent and needless zeros: "0.1", "2000", "-3"."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def write_label(label: Label) -> Document:
    return {"en": label.en, "zh-hans": label.zh_hans}


def _write_value(value: Value) -> Json:
    if isinstance(value, Decimal):
        return write_number(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_write_value(item) for item in value]
    return value


def _comparison(kind: str, name: str, cmp: str, value: Value) -> Document:
    document: Document = {kind: name, "cmp": cmp}
    if value is not None:
        document["value"] = _write_value(value)
    return document


def write_rule(node: Node) -> Document:
    """A rule node in the contract's format."""
    if isinstance(node, All):
        return {"all": [write_rule(child) for child in node.children]}
    if isinstance(node, Any):
        return {"any": [write_rule(child) for child in node.children]}
    if isinstance(node, Not):
        return {"not": write_rule(node.child)}
    if isinstance(node, SegmentLeaf):
        return {"segment": node.segment, "cmp": "member"}
    if isinstance(node, ListLeaf):
        return {"list": node.list, "cmp": "member"}
    if isinstance(node, TierLeaf):
        return _comparison("tier", node.program, node.cmp, node.tier)
    if isinstance(node, BucketLeaf):
        return {"bucket": {"salt": node.salt, "from": node.start, "to": node.end}}
    if isinstance(node, MetricLeaf):
        document = _comparison("metric", node.metric, node.cmp, node.value)
    elif isinstance(node, TagLeaf):
        document = _comparison("tag", node.group, node.cmp, node.value)
    elif isinstance(node, LayerLeaf):
        document = _comparison("layer", node.layering, node.cmp, node.value)
    elif isinstance(node, AttrLeaf):
        document = _comparison("attr", node.attr, node.cmp, node.value)
    if node.if_missing:
        document["if_missing"] = "match"
    return document


def write_filter(node: Filter) -> Document:
    """A filter node; only properties of events say their type."""
    if isinstance(node, FilterAll):
        return {"all": [write_filter(child) for child in node.children]}
    if isinstance(node, FilterAny):
        return {"any": [write_filter(child) for child in node.children]}
    if isinstance(node, FilterNot):
        return {"not": write_filter(node.child)}
    return _write_test(node)


def _write_test(test: FieldTest) -> Document:
    document = _comparison("field", test.field, test.cmp, test.value)
    if test.field.startswith("properties."):
        document["type"] = test.type
    return document


def write_window(window: Window) -> Document:
    if window.kind == "all":
        return {"all": True}
    if window.kind == "calendar":
        return {"calendar": window.calendar, "offset": window.offset}
    document: Document = {window.kind: window.count}
    if window.kind != "hours":
        document["to_now"] = window.to_now
    return document


def _write_aggregate(aggregate: Aggregate) -> Document:
    document: Document = {"fn": aggregate.fn}
    if aggregate.field is not None:
        document["field"] = aggregate.field
        if aggregate.field.startswith("properties."):
            document["type"] = aggregate.type
    if aggregate.where is not None:
        document["where"] = write_filter(aggregate.where)
    if aggregate.converted_within_days is not None:
        document["converted_within_days"] = aggregate.converted_within_days
    return document


def write_metric(metric: Metric) -> Document:
    document: Document = {
        "key": metric.key,
        "label": write_label(metric.label),
        "unit": metric.unit,
    }
    if metric.value_kind is not None:
        document["value_kind"] = metric.value_kind
    if isinstance(metric, FormulaMetric):
        terms: list[Document] = []
        for term in metric.terms:
            terms.append({"metric": term.metric, "times": write_number(term.times)})
            if term.cap is not None:
                terms[-1]["cap"] = write_number(term.cap)
        document["formula"] = {"sum": terms}
        return document
    return document | _write_facts(metric)


def _write_facts(metric: FactMetric) -> Document:
    document: Document = {
        "source": metric.source,
        "aggregate": _write_aggregate(metric.aggregate),
        "window": write_window(metric.window),
    }
    if metric.source in ("orders", "order_lines"):
        document["time"] = metric.time
    if metric.matured_days is not None:
        document["matured_days"] = metric.matured_days
    if metric.filter is not None:
        document["filter"] = write_filter(metric.filter)
    return document


def write_tag_group(group: TagGroup) -> Document:
    document: Document = {
        "group": group.key,
        "label": write_label(group.label),
        "exclusive": group.exclusive,
        "sensitive": group.sensitive,
        "public": group.public,
    }
    if group.rules:
        document["rules"] = [
            {"value": tag_rule.value, "rule": write_rule(tag_rule.rule)} for tag_rule in group.rules
        ]
    else:
        document["values"] = list(group.values)
    return document


def write_layering(layering: Layering) -> Document:
    cuts: Json = [write_number(cut) for cut in layering.cuts]
    if layering.percentiles:
        cuts = {"percentiles": [write_number(cut) for cut in layering.percentiles]}
    return {
        "key": layering.key,
        "label": write_label(layering.label),
        "metric": layering.metric,
        "cuts": cuts,
        "layers": list(layering.layers),
    }


def write_segment(segment: Segment) -> Document:
    return {
        "key": segment.key,
        "label": write_label(segment.label),
        "purpose": segment.purpose,
        "visibility": segment.visibility,
        "rule": write_rule(segment.rule),
    }


def write_catalog(catalog: Catalog) -> Document:
    """All four sections; reading them gives an equal catalog."""
    return {
        "tags": [write_tag_group(group) for group in catalog.tag_groups.values()],
        "metrics": [write_metric(metric) for metric in catalog.metrics.values()],
        "layerings": [write_layering(layering) for layering in catalog.layerings.values()],
        "segments": [write_segment(segment) for segment in catalog.segments.values()],
    }
