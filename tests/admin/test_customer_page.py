"""A customer's page: what it shows to whom, what is written down, and what stays masked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from segmentation.models import (
    AccessRecord,
    Customer,
    Event,
    FactBatch,
    Job,
    Objection,
    Order,
    PrivacyRequest,
    Referral,
    StaffScope,
)
from tests.fixtures.cast import Cast
from tests.fixtures.sample import AS_OF, Shop

Enter = Callable[..., Client]
Kind = AccessRecord.Kind
STORE = "S9"  # nobody of the sample is at home there
PHONE, EMAIL = "13812345678", "li.lei@example.com"


def part(name: str, customer: Customer, *more: object) -> str:
    return reverse(f"admin:segmentation_customer_{name}", args=[customer.pk, *more])


def _records(kind: str) -> list[tuple[str, str, str]]:
    rows = AccessRecord.objects.filter(kind=kind).order_by("pk")
    return [(row.actor, f"{row.subject_kind}:{row.subject_key}", row.via) for row in rows]


def test_the_page_is_masked_and_opening_it_is_written_down(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    client, customer = enter(cast.support_agent), shop.customers[0]
    text = client.get(part("change", customer)).content.decode()
    assert "138••••78" in text
    assert "l••••@example.com" in text
    for secret in (PHONE, "li.lei", "o6_bmasdasdsad6"):
        assert secret not in text
        listing = reverse("admin:segmentation_customer_changelist")
        assert secret not in client.get(listing).content.decode()
    for words in ("Gold Club", "Silver", "qualifies for this tier", "Net spend, 365 days: 2480.50"):
        assert words in text
    assert _records(Kind.VIEW_CUSTOMER) == [("support_agent", "customer:C1000", "admin")]
    assert _records(Kind.REVEAL) == []


def test_a_reveal_shows_once_and_is_written_down_with_the_reason(
    cast: Cast, shop: Shop, enter: Enter, settings: Any
) -> None:
    settings.REVEAL_DAILY_LIMIT = 2
    client, customer = enter(cast.support_agent), shop.customers[1]
    address = part("reveal", customer)
    refused = client.post(address, {"reason": "  "}).content.decode()
    assert PHONE not in refused
    assert _records(Kind.REVEAL) == []
    shown = client.post(address, {"reason": "calls back"}).content.decode()
    assert PHONE in shown
    assert EMAIL in shown
    assert PHONE not in client.get(part("change", customer)).content.decode()
    record = AccessRecord.objects.get(kind=Kind.REVEAL)
    assert record.details == {"fields": ["phone", "email"], "reason": "calls back"}
    assert (record.user, record.subject_key) == (cast.support_agent, customer.external_id)
    assert PHONE in client.post(address, {"reason": "again"}).content.decode()
    over = client.post(address, {"reason": "once more"}).content.decode()
    assert PHONE not in over
    assert "which is the limit" in over
    assert len(_records(Kind.REVEAL)) == 2


@pytest.mark.parametrize("person", ["analyst", "auditor", "reviewer", "stranger"])
def test_without_the_right_nothing_is_revealed(
    cast: Cast, shop: Shop, enter: Enter, person: str
) -> None:
    client, customer = enter(getattr(cast, person)), shop.customers[0]
    assert client.post(part("reveal", customer), {"reason": "curious"}).status_code == 403
    assert client.get(part("reveal", customer)).status_code == 405
    assert _records(Kind.REVEAL) == []
    if person != "stranger":
        text = client.get(part("change", customer)).content.decode()
        assert "Show phone and e-mail" not in text


@pytest.mark.parametrize(
    "address",
    [
        lambda customer: part("change", customer),
        lambda customer: part("timeline", customer),
        lambda customer: part("portrait", customer),
        lambda customer: part("subjects", customer),
        lambda customer: part("explain", customer) + "?subject=tier:gold",
        lambda customer: part("terms", customer, "gold"),
        lambda customer: part("history", customer),
    ],
)
def test_a_customer_of_another_store_does_not_exist(
    cast: Cast, shop: Shop, enter: Enter, address: Callable[[Customer], str]
) -> None:
    _move(cast.store_manager)
    own = _customer(shop, "OWN", store=STORE)
    client = enter(cast.store_manager)
    if "explain" not in address(own):  # the sample's run can't be explained
        assert client.get(address(own)).status_code in (200, 302)
    before = AccessRecord.objects.count()
    for other in (shop.customers[0], _customer(shop, "OTHER", store="S2")):
        assert client.get(address(other)).status_code == 404
        assert client.get(address(other).replace(f"/{other.pk}/", "/999999/")).status_code == 404
    assert AccessRecord.objects.count() == before


def test_an_order_of_somebody_else_is_not_found(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.support_agent)
    first, second = shop.customers[:2]
    order = Order.objects.filter(customer=first).order_by("pk")[0]
    assert "SKU-9" in client.get(part("order", first, order.pk)).content.decode()
    assert client.get(part("order", second, order.pk)).status_code == 404


def test_the_timeline_hides_who_brought_a_customer_from_another_store(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    _move(cast.store_manager)
    own, other = _customer(shop, "OWN", store=STORE), _customer(shop, "OTHER", store="S2")
    batch = FactBatch.objects.all()[0]
    for number, (referrer, referee) in enumerate([(own, other), (other, own)]):
        Referral.objects.create(
            batch=batch, external_id=f"FX{number}", referrer=referrer, referee=referee,
            occurred_at=AS_OF,
        )  # fmt: skip
    text = enter(cast.store_manager).get(part("timeline", own)).content.decode()
    assert text.count("a customer of another store") == 2
    assert "OTHER" not in text
    assert enter(cast.support_agent).get(part("timeline", own)).content.decode().count("OTHER") == 2


def test_the_timeline_pages_and_filters(cast: Cast, shop: Shop, enter: Enter) -> None:
    person = _customer(shop, "BUSY", store=STORE)
    _events(person, count=45)
    client = enter(cast.support_agent)
    found: list[str] = []
    address = part("timeline", person) + "?kind=event"
    for _page in range(3):
        response = client.get(address)
        found += [line.key for line in response.context["lines"]]
        address = response.context["older"]
    assert address == ""
    assert found == [f"EX{number:02}" for number in range(45)]
    assert client.get(part("timeline", person) + "?kind=order").context["lines"] == []
    assert len(client.get(part("timeline", person) + "?after=rubbish").context["lines"]) == 20


def test_a_part_needs_the_right_to_its_rows(cast: Cast, shop: Shop, enter: Enter) -> None:
    customer = shop.customers[0]
    client = enter(cast.stranger)
    for name in ("change", "timeline", "portrait", "subjects"):
        assert client.get(part(name, customer)).status_code == 403
    reviewer = enter(cast.reviewer)  # sees customers and tiers, no orders
    assert reviewer.get(part("timeline", customer)).status_code == 403
    assert reviewer.get(part("change", customer)).context["timeline"] is None


def test_as_many_queries_for_one_row_as_for_fifty(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    one, many = (_customer(shop, name, store=STORE) for name in ("ONE", "MANY"))
    for person, count in ((one, 1), (many, 50)):
        _events(person, count=count)
        _orders(person, count=count)
        _brought(person, count=count, shop=shop)
    for name in ("change", "timeline", "subjects"):
        client.get(part(name, one))
        assert _queries(client, part(name, one)) == _queries(client, part(name, many)), name
    listing = reverse("admin:segmentation_customer_changelist")
    assert _queries(client, f"{listing}?q=ONE") == _queries(client, f"{listing}?q=C10")


def test_objecting_and_taking_it_back_from_the_page(cast: Cast, shop: Shop, enter: Enter) -> None:
    client, customer = enter(cast.support_agent), shop.customers[0]
    assert _acts(client, customer) == ["object", "withdraw_consent", "export", "erase"]
    assert client.post(part("privacy", customer), {"act": "object"}).status_code == 302
    assert Objection.objects.filter(customer=customer).exists()
    assert _acts(client, customer) == ["allow", "withdraw_consent", "export", "erase"]
    client.post(part("privacy", customer), {"act": "allow"})
    assert not Objection.objects.filter(customer=customer).exists()
    client.post(part("privacy", customer), {"act": "withdraw_consent"})
    customer.refresh_from_db()
    assert customer.consent_marketing is False
    client.post(part("privacy", customer), {"act": "erase", "confirm": "not the id"})
    client.post(part("privacy", customer), {"act": "nonsense"})
    rows = PrivacyRequest.objects.order_by("pk").values_list("kind", "actor", "customer_ref")
    assert list(rows) == [
        (kind, "support_agent", customer.external_id)
        for kind in ("object", "allow", "withdraw_consent")
    ]


def test_a_double_click_asks_for_one_export(cast: Cast, shop: Shop, enter: Enter) -> None:
    customer = shop.customers[0]
    client = enter(cast.support_agent)
    for _click in range(2):
        client.post(part("privacy", customer), {"act": "export"})
    first = PrivacyRequest.objects.get(kind="export")
    job = Job.objects.get(pk=first.details["job"])
    enter(cast.operations_manager).post(part("privacy", customer), {"act": "export"})
    assert PrivacyRequest.objects.count() == 2  # another person's wish is another receipt
    job.status = Job.Status.FAILED
    job.save()
    client.post(part("privacy", customer), {"act": "export"})
    assert PrivacyRequest.objects.count() == 3


def test_privacy_needs_its_right(cast: Cast, shop: Shop, enter: Enter) -> None:
    customer = shop.customers[0]
    for person in (cast.analyst, cast.auditor):
        response = enter(person).post(part("privacy", customer), {"act": "object"})
        assert response.status_code == 403
    assert not Objection.objects.filter(customer=customer).exists()
    assert not PrivacyRequest.objects.exists()
    assert enter(cast.analyst).get(part("change", customer)).context["privacy"] is None
    assert enter(cast.auditor).get(part("change", customer)).context["privacy"]["acts"] == []


def test_terms_are_in_words(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.support_agent)
    text = client.get(part("terms", shop.customers[0], "gold")).content.decode()
    assert "at least 10000" in text
    assert "30 days" in text
    assert client.get(part("terms", shop.customers[0], "nothing")).status_code == 404


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_portrait_says_when_the_run_does_not_know_the_customer(
    cast: Cast, shop: Shop, enter: Enter, language: str
) -> None:
    """The sample's run has no files."""
    client = enter(cast.support_agent, language=language)
    response = client.get(part("portrait", shop.customers[0]))
    assert response.status_code == 200
    assert response.context["has_run"] is True
    assert "tw-empty" in response.content.decode()


def _move(manager: User) -> None:
    StaffScope.objects.filter(user=manager).update(home_stores=[STORE])


def _customer(shop: Shop, external_id: str, *, store: str) -> Customer:
    return Customer.objects.create(
        batch=shop.customers[0].batch, external_id=external_id, home_store=store,
        ordinal=Customer.objects.count() + 100,
    )  # fmt: skip


def _events(person: Customer, *, count: int) -> None:
    Event.objects.bulk_create(
        Event(
            batch_id=person.batch_id,
            external_id=f"E{'X' if person.external_id == 'BUSY' else person.external_id}{n:02}",
            customer=person,
            name="visit",
            occurred_at=AS_OF - timedelta(minutes=n),
        )
        for n in range(count)
    )


def _orders(person: Customer, *, count: int) -> None:
    Order.objects.bulk_create(
        Order(
            batch_id=person.batch_id, external_id=f"O{person.external_id}{n}", customer=person,
            currency="CNY", amount=Decimal(9), placed_at=AS_OF - timedelta(hours=n),
        )
        for n in range(count)
    )  # fmt: skip


def _brought(person: Customer, *, count: int, shop: Shop) -> None:
    Referral.objects.bulk_create(
        Referral(
            batch_id=person.batch_id, external_id=f"F{person.external_id}{n}", referrer=person,
            referee=shop.customers[n % len(shop.customers)], occurred_at=AS_OF,
        )
        for n in range(count)
    )  # fmt: skip


def _queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def _acts(client: Client, customer: Customer) -> list[str]:
    privacy = client.get(part("change", customer)).context["privacy"]
    return [str(act.kind) for act in privacy["acts"]]
