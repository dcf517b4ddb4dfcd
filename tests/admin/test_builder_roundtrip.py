"""Whatever a rule, metric, tag or layering says, its form gives it back as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from django.template.loader import render_to_string
from hypothesis import given, settings
from hypothesis import strategies as st

from membership.admin.builder.problems import Told
from segmentation.admin.builder.drawing import draw
from segmentation.admin.builder.fields import read_definition
from segmentation.admin.builder.fitting import fits
from segmentation.admin.builder.nodes import RULE, read_node
from segmentation.admin.builder.vocabulary import Vocabulary, Word
from segmentation.admin.builder.widgets import node_view
from segmentation.domain.definitions import Layering, Segment, TagGroup
from segmentation.domain.rules import ListLeaf
from segmentation.domain.writing import (
    write_layering,
    write_metric,
    write_rule,
    write_segment,
    write_tag_group,
)
from tests.property.strategies import LABEL, catalogs, nodes

GROUPS = {"city_tier": TagGroup("city_tier", LABEL, True, ("first", "second"))}
LAYERS = {"value": Layering("value", LABEL, "m0", ("low", "high"))}
WORDS = Vocabulary(
    {
        "metric": {"m0": Word("m0", "One", "一")},
        "tag": {"city_tier": Word("city_tier", "City", "城市", values=(("first", "1"),))},
        "layer": {"value": Word("value", "Value", "价值", values=(("low", "low"),))},
        "tier": {"gold": Word("gold", "Gold", "金卡", values=(("gold", ("Gold", "金卡")),))},
    },
    datetime(2026, 1, 1, tzinfo=UTC),
    ZoneInfo("Asia/Shanghai"),
)
rules = st.one_of(
    nodes(["m0", "m1"], GROUPS, LAYERS, ["s0"], most=6),
    st.builds(ListLeaf, st.just("vips")),
)


class Inputs(HTMLParser):
    """What a browser would send for a form it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self._select: str | None = None
        self._chosen: list[str] = []
        self._options: list[str] = []
        self._area: str | None = None
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given_ = dict(attrs)
        name, value = given_.get("name"), given_.get("value") or ""
        if tag == "input" and name:
            if given_.get("type") != "checkbox" or "checked" in given_:
                self.sent.append((name, value))
        elif tag == "select" and name:
            self._select, self._chosen, self._options = name, [], []
        elif tag == "option" and self._select:
            self._options.append(value)
            if "selected" in given_:
                self._chosen.append(value)
        elif tag == "textarea" and name:
            self._area, self._text = name, []

    def handle_data(self, text: str) -> None:
        if self._area:
            self._text.append(text)

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self._select:
            assert len(self._chosen) == 1, (self._select, self._chosen, self._options)
            self.sent.append((self._select, self._chosen[0]))
            self._select = None
        elif tag == "textarea" and self._area:
            text = "".join(self._text).removeprefix("\n")
            self.sent.append((self._area, text.replace("\n", "\r\n")))
            self._area = None


def sent(html: str) -> QueryDict:
    parser = Inputs()
    parser.feed(html)
    found = QueryDict(mutable=True)
    for name, value in parser.sent:
        found.appendlist(name, value)
    return found


def through_the_form(rule: dict[str, Any]) -> Any:
    view = node_view(rule, name="rule", path="/rule", grammar=RULE, words=WORDS)
    html = render_to_string("admin/builder/node.html", {"node": view, "draft_url": "/x"})
    return read_node(sent(html), "rule", grammar=RULE)


@given(rules)
@settings(max_examples=150)
def test_every_rule_survives_its_form(rule: Any) -> None:
    document = write_rule(rule)
    assert through_the_form(document) == document


@pytest.mark.parametrize(
    "leaf",
    [
        {"metric": "m0", "cmp": "between", "value": ["1", "2.5"], "if_missing": "match"},
        {"tag": "city_tier", "cmp": "not_in", "value": ["first", "third"]},
        {"tag": "city_tier", "cmp": "in", "value": ["third", "first"]},
        {"tag": "unknown", "cmp": "in", "value": ["a b", "c,d"]},
        {"tag": "city_tier", "cmp": "contains", "value": "fi"},
        {"attr": "channel", "cmp": "in", "value": ["app", " spaced"]},
        {"attr": "birth_date", "cmp": "between", "value": ["1990-01-01", "1990-12-31"]},
        {"attr": "is_staff", "cmp": "ne", "value": False},
        {"attr": "nonsense", "cmp": "eq", "value": "x"},
        {"layer": "value", "cmp": "in", "value": ["low", "gone"]},
        {"segment": "s0", "cmp": "member"},
        {"list": "vips", "cmp": "member"},
        {"tier": "gold", "cmp": "at_least", "value": "gold"},
        {"tier": "gold", "cmp": "eq", "value": "gone"},
        {"bucket": {"salt": '盐 <b>&"', "from": 0, "to": 2500}},
        {"bucket": {"salt": "s", "from": "ten", "to": 5}},
        {"metric": "m0", "cmp": "gte", "value": "not a number"},
        {"metric": "m0", "cmp": "roughly", "value": "5"},
        {"metric": "m0", "cmp": "is_set"},
        {"score": "p", "cmp": "gte", "value": "1"},
        {"metric": "m0", "cmp": "gte", "value": "1", "typo": 1},
        {"attr": "city", "cmp": "eq", "value": "two\nlines"},
        {"all": "nothing"},
        {},
    ],
)
def test_each_kind_of_leaf_right_or_wrong(leaf: dict[str, Any]) -> None:
    for document in (leaf, {"all": [leaf]}, {"not": leaf}, {"any": [{"not": {"all": [leaf]}}]}):
        assert through_the_form(document) == document


def drawn_and_sent(kind: str, document: dict[str, Any]) -> QueryDict:
    context = {
        "form": draw(kind, document, words=WORDS), "kind": kind, "told": Told(),
        "work": {"base_version": 0}, "draft_url": "/x",
    }  # fmt: skip
    found = sent(render_to_string(f"admin/builder/{kind}.html", context))
    found["extras"] = context["form"]["extras"]
    return found


@given(catalogs())
@settings(max_examples=60)
def test_every_definition_survives_its_form(catalog: Any) -> None:
    documents = [
        *(("metric", write_metric(one)) for one in catalog.metrics.values()),
        *(("tag", write_tag_group(one)) for one in catalog.tag_groups.values()),
        *(("layering", write_layering(one)) for one in catalog.layerings.values()),
        *(("segment", write_segment(one)) for one in catalog.segments.values()),
    ]
    for kind, document in documents:
        assert fits(kind, document), document
        assert read_definition(kind, drawn_and_sent(kind, document)) == document


def test_what_a_form_has_no_field_for_is_carried_along() -> None:
    segment = Segment("s", LABEL, "service", "internal", ListLeaf("vips"))
    document = {**write_segment(segment), "note": {"by": ["hand"]}, "typo": "x"}
    assert read_definition("segment", drawn_and_sent("segment", document)) == document


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("segment", {"key": ["x"]}),
        ("segment", {"key": "x", "label": {"fr": "x"}}),
        ("metric", {"key": "x", "window": {"days": 3, "months": 2}}),
        ("metric", {"key": "x", "window": {"calendar": "month", "offset": 1}}),
        ("metric", {"key": "x", "formula": {"sum": "x"}}),
        ("metric", {"key": "x", "formula": {"sum": []}, "source": "orders"}),
        ("tag", {"group": "x", "values": ["a\nb"]}),
        ("tag", {"group": "x", "exclusive": "yes", "values": []}),
        ("layering", {"key": "x", "layers": ["a"], "cuts": ["1", "2"]}),
        ("layering", {"key": "x", "layers": ["a"], "cuts": {"other": []}}),
    ],
)
def test_what_a_form_would_lose_it_does_not_show(kind: str, document: dict[str, Any]) -> None:
    assert fits(kind, document) is False
