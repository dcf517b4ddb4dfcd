"""The search of every page: what it finds, for whom, and at what cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from segmentation.models import Customer, CustomerList
from tests.fixtures.cast import Cast
from tests.fixtures.sample import HIDDEN_KEY, HIDDEN_LABEL_EN, HIDDEN_LABEL_ZH, Shop, make_shop

Enter = Callable[..., Client]


def _found(client: Client, term: str) -> list[tuple[str, str]]:
    response = client.get(reverse("admin:search"), {"s": term, "extended": "1"})
    assert response.status_code == 200
    return [(found.title, found.link) for found in response.context["results"]]


@pytest.mark.parametrize(
    ("term", "title", "model"),
    [
        ("C1001", "C1001", "segmentation/customer"),
        ("Customer 2", "C1002", "segmentation/customer"),
        ("5678", "C1000", "segmentation/customer"),
        ("O1-0", "O1-0", "segmentation/order"),
        ("app_users", "App users", "segmentation/segment"),
        ("App 用户", "App users", "segmentation/segment"),
        ("gold club", "Gold Club", "membership/program"),
        ("近一年", "Net spend, 365 days", "segmentation/metric"),
        ("促销", "Promotion lover", "segmentation/taggroup"),
        ("value_l", "Value layer", "segmentation/layering"),
        ("transit", "Transitions", "membership/transition"),
        ("升降级", "Transitions", "membership/transition"),
    ],
)
def test_each_kind_is_found(
    cast: Cast, shop: Shop, enter: Enter, term: str, title: str, model: str
) -> None:
    found = _found(enter(cast.operations_manager), term)
    assert [link for name, link in found if name == title and f"/admin/{model}/" in link] != []


def test_ids_are_compared_byte_for_byte(cast: Cast, shop: Shop, enter: Enter) -> None:
    """The theme's own search would fold the term before it looks."""
    batch = shop.customers[0].batch
    Customer.objects.create(batch=batch, external_id="cx-9", ordinal=900)
    Customer.objects.create(batch=batch, external_id="CX-9", ordinal=901)
    found = [title for title, _link in _found(enter(cast.support_agent), "CX-9")]
    assert found == ["CX-9"]


def test_an_old_id_leads_to_who_it_is_now(cast: Cast, shop: Shop, enter: Enter) -> None:
    stays = shop.customers[1]
    far = Customer.objects.create(
        batch=stays.batch, external_id="far", ordinal=890, home_store="elsewhere"
    )
    for number, into in enumerate((stays, far)):
        Customer.objects.create(
            batch=stays.batch, external_id=f"old-{number}", ordinal=900 + number, merged_into=into
        )
    client = enter(cast.support_agent)
    address = reverse("admin:segmentation_customer_change", args=[stays.pk])
    assert _found(client, "old-0") == [(stays.external_id, address)]
    listed = client.get(reverse("admin:segmentation_customer_changelist"), {"q": "old-0"})
    assert list(listed.context["cl"].result_list) == [stays]
    orders = {
        client.get(reverse("admin:segmentation_order_changelist"), {"q": term})
        .content.decode()
        .count(f">{stays.external_id}<")
        for term in ("old-0", stays.external_id)
    }
    assert len(orders) == 1
    assert 0 not in orders
    # Where the other one is of a store that the reader does not know, nothing is found.
    assert _found(enter(cast.store_manager), "old-1") == []


@pytest.mark.parametrize("person", ["analyst", "support_agent", "store_manager"])
def test_nothing_hidden_is_found_without_the_right(
    cast: Cast, shop: Shop, enter: Enter, person: str
) -> None:
    CustomerList.objects.create(
        key="whisper_list", label_en="Whisper list", label_zh_hans="低语名单", is_hidden=True,
        actor="x",
    )  # fmt: skip
    for term in ("whisper", "低语", HIDDEN_KEY, HIDDEN_LABEL_EN, HIDDEN_LABEL_ZH):
        assert _found(enter(getattr(cast, person)), term) == [], term
    titles = {title for title, _link in _found(enter(cast.operations_manager), "whisper")}
    assert titles >= {HIDDEN_LABEL_EN}


def test_what_one_may_not_open_is_not_found(cast: Cast, shop: Shop, enter: Enter) -> None:
    for term in ("C1001", "O1-0", "gold", "app_users", "transit", "城市"):
        assert _found(enter(cast.stranger), term) == [], term
    reviewer = enter(cast.reviewer)  # sees no orders
    assert _found(reviewer, "O1-0") == []
    assert _found(reviewer, "Net spend") != []
    assert _found(enter(cast.support_agent), "Net spend") == []


def test_phones_are_masked_and_nothing_is_kept(cast: Cast, shop: Shop, enter: Enter) -> None:
    """Results hold names: they must not lie in a cache, nor outlive a right."""
    cache.clear()
    client = enter(cast.support_agent)
    response = client.get(reverse("admin:search"), {"s": "13812345678", "extended": "1"})
    text = response.content.decode()
    assert "138••••78" in text
    assert "13812345678" not in text
    assert "no-store" in response.headers["Cache-Control"]
    cast.support_agent.groups.clear()
    assert _found(client, "13812345678") == []


@pytest.mark.parametrize("term", ["", "   ", "%", "'", "\x00", "x" * 5000])
def test_odd_terms_find_nothing(cast: Cast, shop: Shop, enter: Enter, term: str) -> None:
    response = enter(cast.operations_manager).get(reverse("admin:search"), {"s": term})
    assert response.status_code == 200
    context: Any = response.context
    assert context is None or list(context["results"]) == []


@pytest.mark.parametrize("term", ["C10", "e"])
def test_the_number_of_queries_does_not_grow(cast: Cast, enter: Enter, term: str) -> None:
    make_shop(customers=2, definitions=1)
    client = enter(cast.operations_manager)
    _found(client, term)
    before = _queries(client, term)
    for number in range(60):
        batch = Customer.objects.all()[0].batch
        Customer.objects.create(batch=batch, external_id=f"C10{number}x", ordinal=100 + number)
        CustomerList.objects.create(
            key=f"extra_{number}", label_en=f"Extra {number}", label_zh_hans="x", actor="x"
        )
    assert _queries(client, term) == before <= 22


def _queries(client: Client, term: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        found = _found(client, term)
    assert len(found) < 60
    return len(queries)
