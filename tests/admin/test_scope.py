"""Who sees some stores only sees nothing of the customers of others, on any page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from membership.models import Membership, Transition
from segmentation.models import (
    Customer,
    CustomerTag,
    Event,
    Order,
    OrderLine,
    Referral,
    Refund,
    StaffScope,
)
from tests.fixtures.cast import Cast
from tests.fixtures.sample import AS_OF, Shop

Enter = Callable[..., Client]
OWN, OTHER = "OWNSHOPPER", "FOREIGNSHOPPER"
SECRETS = (OTHER, "Faraway Person", "188••••99", "O-FOREIGN", "foreign_visit", "FOREIGN-SKU")
TERMS = (OTHER, "Faraway", "0199", "O-FOREIGN")
FACTS = ("order", "orderline", "refund", "event", "referral", "customertag")
STORE = "S9"  # nobody of the sample is at home there


@pytest.fixture
def stores(cast: Cast, shop: Shop) -> tuple[Customer, Customer]:
    """A customer of the store manager's store and one of another, each with one of every fact."""
    StaffScope.objects.filter(user=cast.store_manager).update(home_stores=[STORE])
    return (
        _person(shop, OWN, "Nearby Person", store=STORE, facts="OWN", phone="13700000199"),
        _person(shop, OTHER, "Faraway Person", store="S2", facts="FOREIGN", phone="18800000199"),
    )


def _person(
    shop: Shop, external_id: str, name: str, *, store: str, facts: str, phone: str
) -> Customer:
    batch, before = shop.customers[0].batch, shop.customers[0]
    person = Customer.objects.create(
        batch=batch, external_id=external_id, name=name, home_store=store, phone=phone,
        ordinal=Customer.objects.count() + 500,
    )  # fmt: skip
    order = Order.objects.create(
        batch=batch, external_id=f"O-{facts}", customer=person, currency="CNY", amount=Decimal(10),
        placed_at=AS_OF + timedelta(days=1),
    )  # fmt: skip
    OrderLine.objects.create(
        batch=batch, order=order, line_no=1, sku=f"{facts}-SKU", amount=Decimal(10)
    )
    Refund.objects.create(
        batch=batch, external_id=f"R-O-{facts}", order=order, amount=Decimal(1), refunded_at=AS_OF
    )
    Event.objects.create(
        batch=batch, external_id=f"E-O-{facts}", customer=person, occurred_at=AS_OF,
        name=f"{facts.lower()}_visit",
    )  # fmt: skip
    Referral.objects.create(
        batch=batch, external_id=f"F-O-{facts}", referrer=person, referee=before, occurred_at=AS_OF
    )
    CustomerTag.objects.create(batch=batch, customer=person, group="city_tier", value="first")
    Membership.objects.create(
        program=shop.program, customer=person, tier="silver", rank=1, since=AS_OF, run=shop.run
    )
    Transition.objects.create(
        program=shop.program, customer=person, run=shop.run, kind="entry", to_tier="silver",
        version=shop.program.versions.all()[0], at=AS_OF, reasons=["qualifies"],
    )  # fmt: skip
    return person


def _texts(client: Client) -> dict[str, str]:
    """What each list says, as it is and searched for the foreign customer, and the search."""
    found = {}
    models = [("segmentation", model) for model in ("customer", *FACTS)]
    models += [("membership", "membership"), ("membership", "transition")]
    for app, model in models:
        listing = reverse(f"admin:{app}_{model}_changelist")
        for term in ("", *TERMS):
            address = f"{listing}?q={term}" if term else listing
            response = client.get(address)
            assert response.status_code == 200, address
            found[address] = _without(response.content.decode(), term)
    for term in TERMS:
        address = reverse("admin:search") + f"?s={term}"
        found[address] = client.get(address).content.decode()
    return found


def _without(text: str, term: str) -> str:
    """What a person typed stands in the search box and in links: no finding."""
    return text.replace(f'value="{term}"', "").replace(f"q={term}", "") if term else text


def _showing(client: Client, secrets: tuple[str, ...]) -> dict[str, set[str]]:
    shown = {
        address: {secret for secret in secrets if secret in text}
        for address, text in _texts(client).items()
    }
    return {address: found for address, found in shown.items() if found}


def test_no_list_and_no_search_shows_another_store(
    cast: Cast, stores: tuple[Customer, Customer], enter: Enter
) -> None:
    for language in ("en", "zh-hans"):
        assert _showing(enter(cast.store_manager, language=language), SECRETS) == {}
    found = _showing(enter(cast.store_manager), (OWN,))
    assert len(found) >= 8  # the own customer shows: the lists are not just empty


def test_control_the_support_agent_sees_all_of_it(
    cast: Cast, stores: tuple[Customer, Customer], enter: Enter
) -> None:
    found = _showing(enter(cast.support_agent), SECRETS)
    assert set().union(*found.values()) == set(SECRETS)
    for model in ("customer", *FACTS):
        assert any(f"/segmentation/{model}/" in address for address in found), model
    for model in ("membership", "transition"):
        assert any(f"/membership/{model}/" in address for address in found), model
    assert any("/admin/search/" in address for address in found)


def test_without_a_store_nobody_shows(
    cast: Cast, stores: tuple[Customer, Customer], enter: Enter
) -> None:
    StaffScope.objects.filter(user=cast.store_manager).delete()
    assert _showing(enter(cast.store_manager), (*SECRETS, OWN, "Nearby Person")) == {}


@pytest.mark.parametrize("model", FACTS)
def test_a_list_of_facts_has_the_own_stores_rows_and_no_others(
    cast: Cast, stores: tuple[Customer, Customer], enter: Enter, model: str
) -> None:
    listing = reverse(f"admin:segmentation_{model}_changelist")
    client = enter(cast.store_manager)
    rows = client.get(listing).context["cl"].result_list
    assert len(rows) == 1
    everything = enter(cast.support_agent).get(listing).context["cl"].result_list
    foreign = [row for row in everything if row.pk != rows[0].pk]
    assert foreign
    for row in foreign:
        page = reverse(f"admin:segmentation_{model}_change", args=[row.pk])
        assert client.get(page).status_code == 404
        assert enter(cast.support_agent).get(page).status_code == 200
    own_page = reverse(f"admin:segmentation_{model}_change", args=[rows[0].pk])
    assert client.get(own_page).status_code == 200


def test_the_referred_customer_of_another_store_is_not_named(
    cast: Cast, stores: tuple[Customer, Customer], enter: Enter
) -> None:
    listing = reverse("admin:segmentation_referral_changelist")
    text = enter(cast.store_manager).get(listing).content.decode()
    assert "a customer of another store" in text
    assert "C1000" not in text
    searched = enter(cast.store_manager).get(f"{listing}?q=C1000").context["cl"].result_list
    assert list(searched) == []
    assert len(enter(cast.support_agent).get(f"{listing}?q=C1000").context["cl"].result_list) > 1


def test_an_autocomplete_offers_the_own_stores_customers_only(
    cast: Cast, stores: tuple[Customer, Customer], enter: Enter
) -> None:
    rights = ("add_manualmember", "view_manualmember")
    cast.store_manager.user_permissions.add(*Permission.objects.filter(codename__in=rights))
    address = (
        reverse("admin:autocomplete")
        + "?app_label=segmentation&model_name=manualmember&field_name=customer&term="
    )
    client = enter(cast.store_manager)
    assert [row["text"] for row in client.get(address).json()["results"]] == [OWN]
    assert client.get(f"{address}FOREIGN").json()["results"] == []
    assert [row["text"] for row in client.get(f"{address}0199").json()["results"]] == [OWN]
