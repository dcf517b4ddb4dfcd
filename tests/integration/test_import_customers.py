"""Customers, their tags, events and referrals from files."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from segmentation.domain.errors import TierwiseError
from segmentation.models import (
    Customer,
    CustomerTag,
    Event,
    FactBatch,
    FactVersion,
    Referral,
    TagGroup,
)
from segmentation.services.importing import FileRefused, Progress
from tests.fixtures.fact_files import Importer

pytestmark = pytest.mark.django_db


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    return Importer(tmp_path)


@pytest.fixture
def _groups() -> None:
    documents: dict[str, dict[str, Any]] = {
        "city_tier": {"exclusive": True, "values": ["first", "second", "a|b"]},
        "likes": {"exclusive": False, "values": ["tea", "wine", 'q"\\,{}']},
        "promo_lover": {"exclusive": True, "values": [], "rules": [{"value": "yes"}]},
        "old": {"exclusive": True, "values": ["x"]},
    }
    for key, document in documents.items():
        TagGroup.objects.create(
            key=key, label_en=key, label_zh_hans=key, document={"group": key, **document}
        )
    TagGroup.objects.filter(key="old").update(retired_at=datetime(2024, 1, 1, tzinfo=UTC))


def live_tags() -> set[tuple[str, str, str]]:
    tags = CustomerTag.objects.filter(is_removed=False)
    return set(tags.values_list("customer__external_id", "group", "value"))


def test_attributes_and_versions(importer: Importer) -> None:
    header = "customer_id registered_at phone birth_date is_staff consent_marketing city"
    first = ("C1", "2024-01-02T03:04:05+08:00", "138", "2000-02-29", "false", "true", "上海")
    assert importer.rows("customers", header, [first]).counts == (1, 0, 0, 0)
    customer = Customer.objects.get()
    assert (customer.birth_date, customer.is_staff, customer.consent_marketing) == (
        date(2000, 2, 29),
        False,
        True,
    )
    assert customer.registered_at == datetime(2024, 1, 1, 19, 4, 5, tzinfo=UTC)
    assert importer.rows("customers", header, [first]).counts == (0, 1, 0, 0)
    assert importer.rows("customers", "customer_id city", [("C1", "")]).counts == (0, 0, 1, 0)
    again = Customer.objects.get()
    assert (again.pk, again.ordinal, again.city, again.phone) == (customer.pk, 0, None, "138")
    assert FactVersion.objects.get().row["city"] == "上海"
    bad = [("C2", "", "", "2001-02-29", "", "", ""), ("C3", "", "", "", "yes", "", "")]
    assert importer.rows("customers", header, bad).rejects == [(2, "bad_date"), (3, "bad_boolean")]


def test_the_same_phone_makes_two_customers(importer: Importer) -> None:
    """A phone number is never an identity."""
    rows = [("C1", "138"), ("C2", "138")]
    assert importer.rows("customers", "customer_id phone", rows).counts == (2, 0, 0, 0)


def test_the_first_row_of_a_stub_counts_as_inserted(importer: Importer) -> None:
    importer.rows(
        "events", "event_id customer_id name occurred_at", [("E", "C1", "n", "2024-01-01")]
    )
    stub = Customer.objects.get()
    assert stub.is_stub
    assert importer.rows("customers", "customer_id", [("C1",), ("C1",)]).counts == (1, 1, 0, 0)
    customer = Customer.objects.get()
    assert (customer.pk, customer.ordinal, customer.is_stub) == (stub.pk, 0, False)
    assert importer.rows("customers", "customer_id", [("C1",)]).counts == (0, 1, 0, 0)


@pytest.mark.usefixtures("_groups")
def test_tag_columns_set_and_remove(importer: Importer) -> None:
    header = "customer_id tag:city_tier tag:likes"
    rows = [("C1", "first", "wine|tea|tea"), ("C2", "a|b", 'q"\\,{}'), ("C3", "", "")]
    assert importer.rows("customers", header, rows).counts == (3, 0, 0, 0)
    assert live_tags() == {
        ("C1", "city_tier", "first"),
        ("C1", "likes", "tea"),
        ("C1", "likes", "wine"),
        ("C2", "city_tier", "a|b"),
        ("C2", "likes", 'q"\\,{}'),
    }
    assert importer.rows("customers", header, rows).counts == (0, 3, 0, 0)
    versions = FactVersion.objects.filter(kind="customers").count()
    changed = [("C1", "second", "tea"), ("C2", "", 'q"\\,{}'), ("C3", "", "")]
    assert importer.rows("customers", header, changed).counts == (0, 1, 2, 0)
    assert live_tags() == {
        ("C1", "city_tier", "second"),
        ("C1", "likes", "tea"),
        ("C2", "likes", 'q"\\,{}'),
    }
    # Nothing but tags changed: no new version of a customer.
    assert FactVersion.objects.filter(kind="customers").count() == versions == 0
    assert set(CustomerTag.objects.values_list("batch__kind", flat=True)) == {"tags"}
    assert importer.rows("customers", "customer_id city", [("C1", "x")]).counts == (0, 0, 1, 0)
    assert ("C1", "city_tier", "second") in live_tags()
    back = [("C1", "first", "tea"), ("C1", "first", "wine")]
    assert importer.rows("customers", header, back).counts == (0, 0, 2, 0)
    assert {tag for tag in live_tags() if tag[0] == "C1"} == {
        ("C1", "city_tier", "first"),
        ("C1", "likes", "wine"),
    }


@pytest.mark.usefixtures("_groups")
def test_unknown_values_reject_the_row_and_unknown_groups_the_file(importer: Importer) -> None:
    rows = [("C1", "third"), ("C2", "first|second"), ("C3", "first")]
    result = importer.rows("customers", "customer_id tag:city_tier", rows)
    assert (result.counts, result.rejects) == (
        (1, 0, 0, 2),
        [(2, "unknown_value"), (3, "unknown_value")],
    )
    before = FactBatch.objects.count()
    with pytest.raises(FileRefused) as refused:
        importer.rows("customers", "customer_id tag:none tag:promo_lover tag:old phones", [])
    assert [(p.path, p.code) for p in refused.value.problems] == [
        ("/columns/tag:none", "unknown_group"),
        ("/columns/tag:promo_lover", "derived_group"),
        ("/columns/tag:old", "unknown_group"),
        ("/columns/phones", "unknown_column"),
    ]
    assert FactBatch.objects.count() == before


@pytest.mark.usefixtures("_groups")
def test_tags_kind(importer: Importer) -> None:
    header = "customer_id group value expires_at"
    rows = [
        ("C1", "city_tier", "first", ""),
        ("C1", "city_tier", "second", "2030-01-01"),
        ("C1", "likes", "tea", ""),
        ("C1", "likes", "tea", ""),
        ("C1", "likes", "beer", ""),
        ("C1", "promo_lover", "yes", ""),
        ("C1", "old", "x", ""),
        ("C1", "", "x", ""),
    ]
    result = importer.rows("tags", header, rows)
    assert result.counts == (3, 1, 0, 4)
    assert [code for _, code in result.rejects] == [
        "unknown_value",
        "derived_group",
        "unknown_group",
        "missing",
    ]
    assert live_tags() == {("C1", "city_tier", "second"), ("C1", "likes", "tea")}
    # Without the column the expiry stays; a new value takes the old one's place.
    assert importer.rows(
        "tags", "customer_id group value", [("C1", "city_tier", "second")]
    ).counts == (0, 1, 0, 0)
    assert importer.rows(
        "tags", "customer_id group value", [("C1", "city_tier", "first")]
    ).counts == (1, 0, 0, 0)
    assert live_tags() == {("C1", "city_tier", "first"), ("C1", "likes", "tea")}
    # A tag that had expired starts anew.
    importer.rows("tags", header, [("C1", "likes", "wine", "2024-01-01")])
    again = importer.rows("tags", "customer_id group value", [("C1", "likes", "wine")])
    assert again.counts == (0, 0, 1, 0)
    assert CustomerTag.objects.get(value="wine").expires_at is None


def test_events_carry_any_json(importer: Importer) -> None:
    header = "event_id customer_id name occurred_at properties"
    documents = [
        '{"a": 1.10, "b": [1, {"c": "上海"}], "n": null}',
        '{"x": 1e400}',
        '{"x": NaN}',
        '{"x": "\\u0000"}',
        '{"x": "\\ud800"}',
        "[1]",
        "{",
        '{"x": "\\\\u0000"}',
        "",
        '{"a": ' * 150 + "1" + "}" * 150,
    ]
    rows = [(f"E{i}", "C1", "n", "2024-01-01", text) for i, text in enumerate(documents)]
    result = importer.rows("events", header, rows)
    assert result.counts == (3, 0, 0, 7)
    assert [code for _, code in result.rejects] == [
        "bad_json",
        "bad_json",
        "nul_character",
        "bad_json",
        "bad_json",
        "bad_json",
        "bad_json",
    ]
    found = dict(Event.objects.values_list("external_id", "properties"))
    assert found == {
        "E0": {"a": 1.10, "b": [1, {"c": "上海"}], "n": None},
        "E7": {"x": "\\u0000"},
        "E8": None,
    }
    spaced = ("E0", "C1", "n", "2024-01-01", '{"b":[1,{"c":"\\u4e0a海"}],"n":null,"a":1.1}')
    assert importer.rows("events", header, [spaced]).counts == (0, 1, 0, 0)


def test_referrals(importer: Importer) -> None:
    header = "referral_id referrer_id referee_id occurred_at"
    rows = [("F1", "C1", "C2", "2024-01-01"), ("F2", "C3", "C3", "2024-01-01")]
    result = importer.rows("referrals", header, rows)
    assert (result.counts, result.rejects) == ((1, 0, 0, 1), [(3, "self_referral")])
    referral = Referral.objects.get()
    assert (referral.referrer.external_id, referral.referee.external_id) == ("C1", "C2")
    assert Customer.objects.count() == 2
    strict = [("F3", "C1", "C9", "2024-01-01"), ("F4", "C9", "C8", "2024-01-01")]
    result = importer.rows("referrals", header, strict, strict=True)
    assert result.rejects == [(2, "unknown_customer"), (3, "unknown_customer")]
    assert Customer.objects.count() == 2


def test_tag_groups_that_change_while_a_file_is_read_refuse_it(importer: Importer) -> None:
    """A value that was retired meanwhile would be recorded though nothing declares it."""
    rows = [("C1", "tier", "gold")]
    TagGroup.objects.create(
        key="tier",
        label_en="t",
        label_zh_hans="t",
        document={"group": "tier", "exclusive": True, "values": ["gold", "silver"]},
    )

    def retire(_progress: Progress) -> None:
        document = {"group": "tier", "exclusive": True, "values": ["silver"]}
        TagGroup.objects.filter(key="tier").update(document=document)

    with pytest.raises(TierwiseError) as refused:
        importer.rows("tags", "customer_id group value", rows, on_progress=retire)
    assert refused.value.code == "definitions_changed"
    assert not CustomerTag.objects.exists()
    assert not Customer.objects.exists()
