"""Loading a definitions document, its sections, tags, segments and the whole catalog."""

from __future__ import annotations

import json
import time

import pytest
import yaml

from membership.domain.candidates import Stored
from membership.domain.documents import Source, in_order, read_sources
from segmentation.domain.definitions import Label, Segment, TagGroup
from segmentation.domain.dependencies import Ref

from .reading_cases import SAMPLE, ZONE, codes, problems, segment, segments_document, stored


def test_the_contracts_sample_is_valid_and_reads_alike_from_json() -> None:
    assert codes(SAMPLE, on=Stored()) == []
    as_json = json.dumps(yaml.load(SAMPLE, Loader=yaml.SafeLoader), default=str)
    from_yaml = read_sources([Source("a.yaml", SAMPLE)], project_zone=ZONE)
    for name in ("a.json", "a.yaml", ""):
        from_json = read_sources([Source(name, as_json)], project_zone=ZONE)
        assert from_json == from_yaml


def tag_values(values: str) -> tuple[str, ...]:
    reading = read_sources(
        [Source("", f"tags: [{{group: g, values: {values}}}]")], project_zone=ZONE
    )
    assert reading.problems == ()
    definition = reading.patch[Ref("tag", "g")].definition
    assert isinstance(definition, TagGroup)
    return definition.values


def test_text_stays_as_written_where_text_is_meant() -> None:
    values = "[yes, no, on, true, 2017-01-01, 007, 1.50, 1e3, 0x1F, 12:30, 是]"
    expected = tuple(values[1:-1].split(", "))
    assert tag_values(values) == expected
    assert tag_values("['null', \"~\", !!str yes]") == ("null", "~", "yes")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [1", "syntax"),
        ("{\n\t- a: b", "syntax"),
        ("a: 1\n---\nb: 2", "syntax"),
        ("tags: !!python/object/apply:os.system [echo]", "unsafe_yaml"),
        ("tags: !secret [a]", "unsafe_yaml"),
        ("tags: &a [*a]", "unsafe_yaml"),
        ('{"tags": "\\ud800"}', "syntax"),
        ('{"\\udfff": 1}', "syntax"),
        ("tags: *nowhere", "unsafe_yaml"),
        ("? [a, b]\n: c", "wrong_type"),
        ("[" * 70 + "]" * 70, "too_deep"),
        ("[" * 100_000, "too_deep"),
        ("", "wrong_type"),
        ("null", "wrong_type"),
        ("just text", "wrong_type"),
        ("[]", "wrong_type"),
    ],
)
def test_refuses_unreadable_text(text: str, code: str) -> None:
    assert codes(text) == [("", code)]


def test_a_json_file_must_be_json() -> None:
    for text in ("{a: 1}", "tags: []", '{"tags": NaN}', '{"tags": [], }', "[" * 100_000):
        reading = read_sources([Source("a.JSON", text)], project_zone=ZONE)
        [(_position, problem)] = reading.problems
        assert problem.code in ("syntax", "too_deep")


def test_an_alias_bomb_is_refused_quickly() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 12):
        levels.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    started = time.perf_counter()
    assert codes("\n".join(levels)) == [("", "too_large")]
    assert time.perf_counter() - started < 5


def test_harmless_aliases_are_expanded() -> None:
    text = (
        "tags: [{group: a, label: &name {en: Same, zh-hans: 同}, values: &v [x]},"
        " {group: b, label: *name, values: *v}]"
    )
    assert codes(text) == []
    reading = read_sources([Source("", text)], project_zone=ZONE)
    for key in ("a", "b"):
        definition = reading.patch[Ref("tag", key)].definition
        assert isinstance(definition, TagGroup)
        assert (definition.label, definition.values) == (Label("Same", "同"), ("x",))


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_a_key_written_twice_is_refused_at_its_place(name: str) -> None:
    text = '{"tags": [{"group": "g", "values": ["a"], "public": true, "public": false}]}'
    reading = read_sources([Source(name, text)], project_zone=ZONE)
    assert [(p.path, p.code) for _n, p in reading.problems] == [("/tags/0/public", "duplicate_key")]


def test_pointers_are_escaped() -> None:
    assert codes("tags: [{group: g, values: [a], a/b~c: 1}]") == [
        ("/tags/0/a~1b~0c", "unknown_key")
    ]


def test_sections_of_a_later_release() -> None:
    assert codes("overlap_policies: [{key: company}]") == [("/overlap_policies", "not_available")]
    assert codes("overlap_policies: []") == []
    [problem] = problems("segmnts: []")
    assert (problem.path, problem.code) == ("/segmnts", "unknown_key")
    assert problem.message == 'Unknown key "segmnts". Did you mean "segments"?'


def test_several_files_are_one_document() -> None:
    first = segments_document(a="b")
    second = "segments: [{key: b, purpose: service, visibility: internal, rule: {all: []}}]"
    both = [Source("one.yaml", first), Source("two.yaml", second)]
    assert read_sources(both, project_zone=ZONE).problems == ()
    twice = [*both, Source("three.yaml", second)]
    [problem] = in_order(read_sources(twice, project_zone=ZONE).problems, twice)
    assert (problem.path, problem.code) == ("/segments/0", "duplicate_key")
    assert problem.message == "three.yaml: segment:b is defined in two.yaml already; keep one."


@pytest.mark.parametrize(
    ("item", "path", "code"),
    [
        ("{group: g}", "", "missing_key"),
        ("{values: [a]}", "", "missing_key"),
        ("{group: G, values: [a]}", "/group", "invalid_key"),
        ("{group: g-h, values: [a]}", "/group", "invalid_key"),
        (f"{{group: {'g' * 65}, values: [a]}}", "/group", "invalid_key"),
        ("{group: g, values: []}", "/values", "out_of_range"),
        ("{group: g, values: [a, a]}", "/values/1", "duplicate_key"),
        ('{group: g, values: [""]}', "/values/0", "out_of_range"),
        ("{group: g, values: [[a]]}", "/values/0", "wrong_type"),
        ("{group: g, values: a}", "/values", "wrong_type"),
        ("{group: g, values: [a], exclusive: yes}", "/exclusive", "wrong_type"),
        ("{group: g, values: [a], key: g}", "/key", "unknown_key"),
        ("{group: g, rules: []}", "/rules", "out_of_range"),
        ("{group: g, rules: [{value: a}]}", "/rules/0", "missing_key"),
        ("{group: g, rules: [{value: a, rule: {segment: app_users, cmp: member}}]}",
         "/rules/0/rule", "forbidden_input"),
        ("{group: g, rules: [{value: a, rule: {tag: g, cmp: is_set}}]}", "/rules/0/rule", "cycle"),
        ("{group: g, values: [b], rules: [{value: a, rule: {all: []}}]}", "/values",
         "unknown_tag_value"),
        ("text", "", "wrong_type"),
    ],
)  # fmt: skip
def test_refuses_tags(item: str, path: str, code: str) -> None:
    assert codes(f"tags: [{item}]") == [(f"/tags/0{path}", code)]


def test_an_item_twice_in_one_file() -> None:
    assert codes("tags: [{group: g, values: [a]}, {group: g, values: [b]}]") == [
        ("/tags/1", "duplicate_key")
    ]


@pytest.mark.parametrize(
    ("fields", "path", "code"),
    [
        ("purpose: fun, visibility: internal", "/purpose", "unknown_value"),
        ("purpose: service, visibility: public", "/visibility", "unknown_value"),
        ("visibility: internal", "", "missing_key"),
        ("purpose: service", "", "missing_key"),
    ],
)
def test_refuses_segments_document(fields: str, path: str, code: str) -> None:
    text = f"segments: [{{key: s, {fields}, rule: {{all: []}}}}]"
    assert codes(text) == [(f"/segments/0{path}", code)]


def test_left_out_labels_are_the_key_and_one_text_serves_for_both() -> None:
    text = (
        "segments: [{key: a, purpose: service, visibility: internal, rule: {all: []}},"
        " {key: b, label: Both, purpose: service, visibility: internal, rule: {all: []}},"
        " {key: c, label: {zh-hans: 中}, purpose: service, visibility: internal, rule: {all: []}}]"
    )
    reading = read_sources([Source("", text)], project_zone=ZONE)
    labels = [
        entry.definition.label
        for entry in reading.patch.values()
        if isinstance(entry.definition, Segment)
    ]
    assert labels == [Label("a", "a"), Label("Both", "Both"), Label("中", "中")]


SENSITIVE = """
tags:
  - {group: health, sensitive: true, values: [ill]}
  - {group: derived, rules: [{value: x, rule: {tag: health, cmp: is_set}}]}
  - {group: by_sex, rules: [{value: x, rule: {attr: gender, cmp: eq, value: f}}]}
segments:
  - {key: about_health, purpose: service, visibility: internal, rule: {tag: derived, cmp: is_set}}
  - {key: women, purpose: service, visibility: hidden, rule: {attr: gender, cmp: eq, value: f}}
"""


@pytest.mark.parametrize(
    ("rule", "purpose", "chain"),
    [
        ("{tag: health, cmp: is_set}", "service", ""),
        ("{tag: derived, cmp: is_set}", "research", "tag derived -> tag health"),
        ("{segment: about_health, cmp: member}", "service",
         "segment about_health -> tag derived -> tag health"),
        ("{attr: gender, cmp: is_set}", "retention", ""),
        ("{attr: birth_date, cmp: is_set}", "promotion", ""),
        ("{tag: by_sex, cmp: is_set}", "acquisition", "tag by_sex -> attr gender"),
        ("{segment: women, cmp: member}", "retention", "segment women -> attr gender"),
    ],
)  # fmt: skip
def test_hidden_segments_refuse_sensitive_inputs(rule: str, purpose: str, chain: str) -> None:
    """Directly or through tags, layers and segments, with the path of the node and the chain."""
    base = stored(SENSITIVE)
    text = segment(f"{{all: [{rule}]}}", purpose=purpose, visibility="hidden")
    [problem] = problems(text, on=base)
    assert (problem.path, problem.code) == ("/segments/0/rule/all/0", "forbidden_input")
    assert (f"It comes in through {chain}." in problem.message) is bool(chain)
    internal = segment(rule, purpose=purpose)
    assert codes(internal, on=base) in ([], [("/segments/0/rule", "forbidden_input")])
    assert (codes(internal, on=base) == []) is ("women" not in rule)


@pytest.mark.parametrize("rule", ["{attr: gender, cmp: is_set}", "{tag: by_sex, cmp: is_set}"])
@pytest.mark.parametrize("purpose", ["service", "research"])
def test_service_and_research_may_use_gender_and_birth_date(rule: str, purpose: str) -> None:
    assert codes(segment(rule, purpose=purpose, visibility="hidden"), on=stored(SENSITIVE)) == []


def test_birth_month_is_allowed_with_any_purpose() -> None:
    rule = "{attr: birth_month, cmp: eq, value: 5}"
    for purpose in ("retention", "acquisition", "promotion", "service", "research"):
        assert codes(segment(rule, purpose=purpose, visibility="hidden")) == []


def test_what_uses_a_hidden_segment_is_hidden() -> None:
    rule = "{any: [{segment: lapsing_high_value, cmp: member}]}"
    assert codes(segment(rule)) == [("/segments/0/rule/any/0", "forbidden_input")]
    assert codes(segment(rule, purpose="retention", visibility="hidden")) == []


def test_a_patch_is_blamed_for_the_stored_definitions_it_breaks() -> None:
    base = stored(SAMPLE)
    sensitive = "tags: [{group: city_tier, sensitive: true, values: [first, second, third]}]"
    [problem] = problems(sensitive, on=base)
    assert (problem.path, problem.code) == ("/tags/0", "forbidden_input")
    assert problem.message.startswith("segment:lapsing_high_value would no longer be valid:")
    lost = "layerings: [{key: value_layer, metric: net_spend_365d, cuts: [1], layers: [low, top]}]"
    assert codes(lost, on=base) == [("/layerings/0", "unknown_value")]
    hidden = (
        "segments: [{key: app_users, purpose: research, visibility: hidden, rule: {all: []}},"
        " {key: other, purpose: research, visibility: internal,"
        " rule: {segment: app_users, cmp: member}}]"
    )
    assert codes(hidden, on=base) == [("/segments/1/rule", "forbidden_input")]


def test_a_reference_to_an_unreadable_definition_is_no_second_problem() -> None:
    text = (
        "metrics: [{key: broken, source: orders, unit: count, window: {all: true},"
        " aggregate: {fn: x}}]\n"
        "segments: [{key: s, purpose: service, visibility: internal,"
        " rule: {metric: broken, cmp: gt, value: 1}}]"
    )
    assert codes(text) == [("/metrics/0/aggregate/fn", "unknown_value")]


def test_retiring_lists_the_dependents() -> None:
    """S05: deletion refused with the dependents listed."""
    [problem] = problems("metrics: [{key: net_spend_365d, retired: true}]")
    assert (problem.path, problem.code) == ("/metrics/0", "has_dependents")
    assert problem.message == (
        "metric:net_spend_365d is used by layering:spend_quintile, layering:value_layer, "
        "metric:growth_value, program:gold; retire or change them in the same document."
    )
    together = (
        "metrics: [{key: net_spend_365d, retired: true}, {key: growth_value, retired: true}]\n"
        "layerings: [{key: spend_quintile, retired: true}, {key: value_layer, retired: true}]\n"
        "segments: [{key: lapsing_high_value, retired: true}]\n"
        "programs: [{key: gold, retired: true}]"
    )
    assert codes(together) == []


def test_retiring_what_never_was() -> None:
    assert codes("tags: [{group: nothing, retired: true}]") == [("/tags/0", "unknown_tag_group")]


def test_cycles_are_refused_with_their_path_and_diamonds_accepted() -> None:
    """S03: a cycle is refused with its path named, a diamond accepted, self-reference refused."""
    assert codes(segments_document(a="b c", b="d", c="d", d="")) == []
    found = problems(segments_document(a="b", b="c", c="a", d="a"))
    assert [(p.path, p.code) for p in found] == [
        ("/segments/0/rule/any/0", "cycle"),
        ("/segments/1/rule/any/0", "cycle"),
        ("/segments/2/rule/any/0", "cycle"),
    ]
    assert found[0].message.startswith("A cycle: a -> b -> c -> a.")
    [itself] = problems(segments_document(a="b a", b=""))
    assert (itself.path, itself.code) == ("/segments/0/rule/any/1", "cycle")
    assert "a -> a" in itself.message
    through_stored = stored(segments_document(a="", b="a"))
    assert codes(segments_document(a="b"), on=through_stored) == [
        ("/segments/0/rule/any/0", "cycle")
    ]
