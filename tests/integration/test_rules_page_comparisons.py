"""Comparisons of docs/algorithms/rules-and-windows.md: every operator of every type, computed."""

from __future__ import annotations

from datetime import date
from typing import Any

from segmentation.domain.history import Attributes, CustomerHistory, Tag
from tests.integration.rules_page import (
    DEFINITIONS,
    NOTHING,
    SHANGHAI,
    ask,
    counted,
    numbers,
    segment,
    table,
    wall,
)

AS_OF = wall("2018-01-01 12:00", SHANGHAI)
VERDICTS = {"true": True, "false": False}

# What a leaf of each type of the page names.
LEAVES = {
    "number": "metric: n", "text": "attr: city", "date": "attr: birth_date", "tag": "tag: hobby",
    "instant": "attr: registered_at", "boolean": "attr: is_staff", "layer": "layer: size",
}  # fmt: skip


def stored(kind: str, cell: str, key: str) -> CustomerHistory:
    """The customer with what a case stores."""
    match kind:
        case "number" | "layer":
            return counted(key, [cell])
        case "tag":
            return CustomerHistory(key, tags=tuple(Tag("hobby", one) for one in numbers(cell)))
    known: dict[str, Any] = {
        "text": {"city": cell},
        "boolean": {"is_staff": cell == "true"},
        "date": {"birth_date": date.fromisoformat(cell) if kind == "date" else None},
        "instant": {"registered_at": wall(cell, SHANGHAI) if kind == "instant" else None},
    }
    return CustomerHistory(key, Attributes(**known[kind]))


def emptied(kind: str, key: str) -> CustomerHistory:
    """The customer with something empty of that type."""
    if kind == "tag":
        return CustomerHistory(key, tags=(Tag("hobby", "tea", AS_OF),))
    return counted(key, [""]) if kind != "text" else CustomerHistory(key, Attributes(city=""))


def test_comparisons() -> None:
    """S13: each operator on a value, on nothing and on something empty."""
    rows = table("type", "cmp", "value", "stored", "verdict", "missing", "empty", "match")
    document = DEFINITIONS + "segments:\n"
    people = [CustomerHistory("missing")]
    for row in rows:
        key, kind = row["case"].lower(), row["type"]
        value = "" if row["value"] == NOTHING else f", value: {quoted(row['value'])}"
        leaf = f"{LEAVES[kind]}, cmp: {row['cmp']}{value}"
        document += segment(key, f"{{{leaf}}}")
        if row["match"] != NOTHING:
            document += segment(f"{key}_match", f"{{{leaf}, if_missing: match}}")
        people.append(stored(kind, row["stored"], row["case"]))
        if row["empty"] != NOTHING:
            people.append(emptied(kind, f"{row['case']} empty"))
    position = {person.external_id: at for at, person in enumerate(people)}
    answer = ask(document, people, as_of=AS_OF)
    for row in rows:
        case, key = row["case"], row["case"].lower()
        found = {
            "verdict": answer.member(position[case], key),
            "missing": answer.member(position["missing"], key),
        }
        if row["empty"] != NOTHING:
            found["empty"] = answer.member(position[f"{case} empty"], key)
        if row["match"] != NOTHING:
            found["match"] = answer.member(position["missing"], f"{key}_match")
            assert answer.member(position[case], f"{key}_match") is found["verdict"], case
        assert found == {name: VERDICTS[row[name]] for name in found}, case
    kinds = {(row["type"], row["cmp"]) for row in rows}
    assert len(kinds) == 9 + 7 + 8 + 2 + 2 + 7 + 4  # every comparison of every type


def quoted(cell: str) -> str:
    """A value as a document writes it: a date is a text."""
    return cell if cell[:1] != "2" else f'"{cell}"'
