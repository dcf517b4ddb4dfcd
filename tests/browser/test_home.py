"""Home as each role sees it, drawn by a browser in both languages."""

from __future__ import annotations

from dataclasses import fields

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.sample import make_shop

from .conftest import Visit

pytestmark = pytest.mark.browser


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("role", [field.name for field in fields(Cast)])
def test_home_of_each_role_is_whole(visit: Visit, role: str) -> None:
    cast = make_cast()
    make_shop()
    visit.log_in(getattr(cast, role).username)
    language = str(visit.page.evaluate("document.documentElement.lang"))
    visit.open(reverse("admin:index"), name=f"{language}_home_{role}")
    assert visit.complaints == []
    assert visit.overflow() <= 0
    assert visit.page.locator(".tw-card").count() >= 1


@pytest.mark.django_db(transaction=True)
def test_support_finds_a_customer_from_home(visit: Visit) -> None:
    """The last four digits, a key press, the customer."""
    cast, shop = make_cast(), make_shop(customers=1)
    visit.log_in(cast.support_agent.username)
    assert visit.page.evaluate("document.activeElement.id") == "home-search"
    visit.page.keyboard.type("5678")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url("**/segmentation/customer/?q=5678")
    visit.page.locator("#result_list tbody th a").first.click()
    visit.page.wait_for_load_state("networkidle")
    address = reverse("admin:segmentation_customer_change", args=[shop.customers[0].pk])
    assert visit.page.url.split("?")[0].endswith(address)
    assert visit.complaints == []


@pytest.mark.django_db(transaction=True)
def test_enter_opens_what_ctrl_k_found_first(visit: Visit) -> None:
    cast, shop = make_cast(), make_shop(customers=1)
    visit.log_in(cast.operations_manager.username)
    visit.open(reverse("admin:index"))  # its scripts listen
    visit.page.keyboard.press("Control+k")
    # The window opens within some milliseconds: no person types faster, this test would.
    expect(visit.page.locator("input[name=s]:focus")).to_be_visible()
    visit.page.keyboard.type(shop.customers[0].external_id)
    visit.page.locator("#command-results-list li.active").wait_for()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url("**/segmentation/customer/*/change/**")
    assert visit.complaints == []


@pytest.mark.django_db(transaction=True)
def test_a_figure_of_home_leads_to_its_rows(visit: Visit) -> None:
    cast, shop = make_cast(), make_shop()
    visit.log_in(cast.operations_manager.username)
    visit.page.locator("#tiers tbody a").nth(1).click()  # the second tier, silver
    visit.page.wait_for_load_state("networkidle")
    assert "program=gold&tier=silver" in visit.page.url
    assert visit.page.locator("#result_list tbody tr").count() == len(shop.customers)
    assert visit.complaints == []
