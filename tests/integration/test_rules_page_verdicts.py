"""Exact comparison, layers, tags, segments, buckets and tiers of
docs/algorithms/rules-and-windows.md, read and computed."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest

from segmentation.domain.evaluate import bucket
from segmentation.domain.history import Attributes, CustomerHistory, HeldTier, Tag
from segmentation.domain.rules import Node, TagLeaf, TierLeaf
from tests.integration.rules_page import (
    DEFINITIONS,
    NOTHING,
    NUMBER,
    SHANGHAI,
    Row,
    ask,
    counted,
    numbers,
    read_catalog,
    read_facts,
    segment,
    table,
    wall,
)

AS_OF = wall("2018-01-01 12:00", SHANGHAI)
VERDICTS = {"true": True, "false": False}
YES = {"yes": True, "no": False}


def test_exact_comparison() -> None:
    rows = table("orders of", "aggregate", "cmp", "value", "verdict")
    metrics = segments = ""
    people: list[CustomerHistory] = []
    for row in rows:
        key = row["case"].lower()
        share = ", where: {field: is_promotion, cmp: eq, value: true}"
        metrics += (
            f"- {{key: {key}, source: orders, window: {{all: true}}, unit: ratio, aggregate:"
            f" {{fn: {row['aggregate']}, field: amount{share * (row['aggregate'] == 'share')}}}}}\n"
        )
        segments += segment(key, f'{{metric: {key}, cmp: {row["cmp"]}, value: "{row["value"]}"}}')
        orders = ", ".join(
            f"{{placed_at: 2017-12-01, amount: {one}, is_promotion: {str(not at).lower()}}}"
            for at, one in enumerate(numbers(row["orders of"]))
        )
        people += read_facts(f"orders: [{orders}]", key=row["case"])
    answer = ask(f"metrics:\n{metrics}segments:\n{segments}", people, as_of=AS_OF)
    for who, row in enumerate(rows):
        assert answer.member(who, row["case"].lower()) is VERDICTS[row["verdict"]], row["case"]


@pytest.mark.parametrize(
    "row", table("zone", "as-of", "attribute", "recorded", "number"), ids=lambda row: row["case"]
)
def test_numbers_of_a_customer(row: Row) -> None:
    known = Attributes()
    if row["attribute"] == "birth_month":
        known = replace(known, birth_date=date.fromisoformat(row["recorded"]))
    else:
        known = replace(known, registered_at=wall(row["recorded"], row["zone"]))
    leaf = f"attr: {row['attribute']}, value: {row['number']}"
    document = "segments:\n" + "".join(
        segment(cmp, f"{{{leaf}, cmp: {cmp}}}") for cmp in ("eq", "lt", "gt")
    )
    as_of = wall(row["as-of"], row["zone"])
    answer = ask(document, [CustomerHistory("c", known)], as_of=as_of, zone=row["zone"])
    assert [answer.member(0, cmp) for cmp in ("eq", "lt", "gt")] == [True, False, False]


def test_layers() -> None:
    for row in table("cuts", "layers", "value", "layer"):
        document = (
            f"{NUMBER}layerings:\n- {{key: v, metric: n, cuts: [{row['cuts']}],"
            f" layers: [{row['layers']}]}}\n"
        )
        people = [counted("c", [] if row["value"] == NOTHING else [row["value"]])]
        found = ask(document, people, as_of=AS_OF).layer(0, "v")
        assert (found or "none") == row["layer"], row["case"]


@pytest.mark.parametrize(
    "row",
    table("values", "percentiles", "ranks", "cuts", "layers"),
    ids=lambda row: row["case"],
)
def test_percentile_cuts(row: Row) -> None:
    """The ranks by the formula of the page, the cuts and layers by both programs."""
    values, cuts = row["values"].split(", "), row["cuts"].split(", ")
    present = sorted(Fraction(value) for value in values if value != NOTHING)
    ranks = [
        min(int(Fraction(p) * len(present) / 100) + 1, len(present))
        for p in row["percentiles"].split(", ")
    ]
    assert ", ".join(map(str, ranks)) == row["ranks"]
    assert [present[rank - 1] for rank in ranks] == [Fraction(cut) for cut in cuts]
    layers = ", ".join(f"l{number}" for number in range(1, len(cuts) + 2))
    document = (
        f"{NUMBER}layerings:\n- {{key: v, metric: n, cuts: {{percentiles: [{row['percentiles']}]}},"
        f" layers: [{layers}]}}\n"
    )
    people = [
        counted(f"c{at:02}", [] if value == NOTHING else [value]) for at, value in enumerate(values)
    ]
    answer = ask(document, people, as_of=AS_OF)
    assert answer.cuts["v"] == tuple(Fraction(cut) for cut in cuts)
    found = [answer.layer(who, "v") for who in range(len(people))]
    assert ", ".join("none" if one is None else one[1:] for one in found) == row["layers"]


@pytest.mark.parametrize("row", table("as-of", "expires_at", "tag"), ids=lambda row: row["case"])
def test_expiry_of_tags(row: Row) -> None:
    ends = None if row["expires_at"] == NOTHING else wall(row["expires_at"], SHANGHAI)
    person = CustomerHistory("c", tags=(Tag("hobby", "tea", ends),))
    document = DEFINITIONS + "segments:\n" + segment("has", "{tag: hobby, cmp: is_set}")
    answer = ask(document, [person], as_of=wall(row["as-of"], SHANGHAI))
    assert answer.tags(0, "hobby") == ["tea"] * (row["tag"] == "there")
    assert answer.member(0, "has") is (row["tag"] == "there")


RULES = [("many", 100), ("few", 10), ("some", 1), ("few", 2)]


@pytest.mark.parametrize("row", table("exclusive", "number", "values"), ids=lambda row: row["case"])
def test_rule_tags(row: Row) -> None:
    rules = ", ".join(
        f"{{value: {value}, rule: {{metric: n, cmp: gte, value: {least}}}}}"
        for value, least in RULES
    )
    document = f"tags:\n- {{group: g, exclusive: {row['exclusive']}, rules: [{rules}]}}\n{NUMBER}"
    person = counted("c", [] if row["number"] == NOTHING else [row["number"]])
    answer = ask(document, [replace(person, tags=(Tag("g", "many"),))], as_of=AS_OF)
    assert (", ".join(answer.tags(0, "g")) or "none") == row["values"]


@pytest.mark.parametrize(
    "row",
    table(
        "rule holds", "visibility", "included", "excluded", "objects", "member", "of a second one"
    ),
    ids=lambda row: row["case"],
)
def test_members_by_hand_and_objections(row: Row) -> None:
    """S16."""
    document = "segments:\n"
    document += segment("one", "{attr: city, cmp: eq, value: Lyon}", row["visibility"])
    document += segment("second", "{segment: one, cmp: member}", row["visibility"])
    one = frozenset({"one"})
    person = CustomerHistory(
        "c",
        Attributes(city="Lyon" if YES[row["rule holds"]] else "Paris"),
        included=one if YES[row["included"]] else frozenset(),
        excluded=one if YES[row["excluded"]] else frozenset(),
        objects=YES[row["objects"]],
    )
    answer = ask(document, [person], as_of=AS_OF)
    found = [answer.member(0, key) for key in ("one", "second")]
    assert found == [YES[row["member"]], YES[row["of a second one"]]]


@pytest.mark.parametrize(
    "row",
    table("salt", "external id", "first 8 bytes", "as a number", "bucket"),
    ids=lambda row: row["case"],
)
def test_buckets(row: Row) -> None:
    """The page's number step by step, and both programs at both of its edges."""
    salt, who, number = row["salt"], row["external id"], int(row["bucket"])
    digest = hmac.new(salt.encode(), who.encode(), hashlib.sha256).hexdigest()
    assert digest[:16] == row["first 8 bytes"]
    assert int(row["first 8 bytes"], 16) == int(row["as a number"])
    assert int(row["as a number"]) % 10_000 == number == bucket(salt, who)
    document = "segments:\n" + "".join(
        segment(key, f"{{bucket: {{salt: {salt}, from: {start}, to: {end}}}}}")
        for key, start, end in (
            ("own", number, number + 1), ("below", 0, number), ("above", number + 1, 10_000),
        )
    )  # fmt: skip
    answer = ask(document, [CustomerHistory(who)], as_of=AS_OF)
    assert [answer.member(0, key) for key in ("own", "below", "above")] == [True, False, False]


def test_tier_leaves() -> None:
    rows = table("held", "cmp", "value", "verdict")
    ranks = {"silver": 1, "gold": 2}
    catalog = read_catalog(
        "segments:\n" + "".join(segment(row["case"].lower(), "{all: []}") for row in rows)
    )
    leaves: dict[str, Node] = {
        row["case"].lower(): TierLeaf(
            "gold", "eq" if row["cmp"] == "eq" else "at_least", row["value"]
        )
        for row in rows
    }
    segments = {key: replace(old, rule=leaves[key]) for key, old in catalog.segments.items()}
    people = [CustomerHistory(row["case"]) for row in rows]
    held = [
        None if row["held"] == NOTHING else HeldTier(row["held"], ranks[row["held"]])
        for row in rows
    ]
    answer = ask(replace(catalog, segments=segments), people, as_of=AS_OF, held=held)
    for who, row in enumerate(rows):
        assert answer.member(who, row["case"].lower()) is VERDICTS[row["verdict"]], row["case"]


@pytest.mark.parametrize(
    "row", table("ranks", "rules that hold", "qualifies"), ids=lambda row: row["case"]
)
def test_the_rank_a_customer_qualifies_for(row: Row) -> None:
    """Each rank's rule asks for a tag of its own."""
    document = "tags:\n- {group: holds, exclusive: false, values: [r1, r2, r3, r10, r40]}\n"
    person = CustomerHistory(
        "c", tags=tuple(Tag("holds", f"r{rank}") for rank in numbers(row["rules that hold"]))
    )
    ladder: list[tuple[int, Node]] = [
        (int(rank), TagLeaf("holds", "eq", f"r{rank}")) for rank in numbers(row["ranks"])
    ]
    answer = ask(document, [person], as_of=AS_OF, ladder=ladder)
    assert str(answer.rank(0) or "none") == row["qualifies"]
