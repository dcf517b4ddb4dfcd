"""A nested segment built, previewed and published by mouse and keyboard, in both languages."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from segmentation.models import Draft, Segment
from tests.fixtures.cast import make_cast
from tests.fixtures.world import CLUB, World

from .conftest import Visit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def username() -> str:
    """An operations manager of a shop with three customers and one run."""
    world = World()
    world.apply(CLUB)
    world.apply({"tags": [{"group": "city_tier", "exclusive": True, "values": ["first", "third"]}]})
    world.record("customers", {"customer_id": "C1", "channel": "app", "tag:city_tier": "first"})
    world.record("customers", {"customer_id": "C2", "channel": "app"})
    world.order("C1", "2026-01-10", "120")
    world.order("C2", "2026-01-10", "500")
    world.order("C3", "2026-01-10", "20")
    world.run("2026-01-15")
    return make_cast().operations_manager.username


def start(visit: Visit, username: str) -> None:
    visit.log_in(username)
    visit.open(reverse("admin:builder_start") + "?kind=segment")
    visit.page.fill("#in-key", "app_spenders")
    visit.page.click("[name=act][value=new]")
    visit.page.fill("#in-label-en", "App spenders")
    visit.page.fill("#in-label-zh", "App 消费用户")
    visit.page.select_option("#in-purpose", "retention")


def settled(visit: Visit) -> None:
    """Until the form and the preview that it started have come back."""
    visit.page.wait_for_load_state("networkidle")


def test_a_nested_segment_from_nothing_to_published(visit: Visit, username: str) -> None:
    page = visit.page
    start(visit, username)
    size = page.locator("#preview-size")
    page.fill("#about-rule-0-subject", "spend")
    page.press("#about-rule-0-subject", "Tab")
    page.fill("#about-rule-0-value", "100")
    expect(size).to_have_text("2")
    page.click("#about-rule-group")
    expect(page.locator("#about-rule-1-0-subject")).to_be_focused()
    page.select_option("#about-rule-1-0-kind", "attr")
    page.fill("#about-rule-1-0-subject", "channel")
    page.press("#about-rule-1-0-subject", "Tab")
    page.fill("#about-rule-1-0-value", "web")
    expect(size).to_have_text("0")
    page.click("#about-rule-1-add")
    page.select_option("#about-rule-1-1-kind", "tag")
    page.fill("#about-rule-1-1-subject", "city_tier")
    page.press("#about-rule-1-1-subject", "Tab")
    page.check("[name='rule.1.1:value'][value=first]")
    expect(size).to_have_text("1")
    include = page.locator("#about-rule-1-1 [value='include:rule.1.1']")
    expect(include).to_be_visible()  # C2 and C3 have no city tier
    include.click()
    expect(size).to_have_text("2")
    settled(visit)
    language = str(page.evaluate("document.documentElement.lang"))
    page.screenshot(path=visit.pictures / f"{language}_builder.png", full_page=True)
    assert visit.overflow() == 0
    sentence = page.locator("#said dd").first
    expect(sentence).to_contain_text("Spend: at least 100")
    page.click("[name=act][value='save:portrait']")
    expect(page.locator("#portrait-figures #portrait-sentence")).to_be_visible()
    page.screenshot(path=visit.pictures / f"{language}_draft_portrait.png", full_page=True)
    page.click(f"a[href='{reverse('admin:builder_draft', args=['segment', 'app_spenders'])}']")
    expect(size).to_have_text("2")
    page.click("[name=act][value='save:publish']")
    expect(page.locator("#confirm")).to_be_visible()
    settled(visit)
    page.screenshot(path=visit.pictures / f"{language}_publish.png", full_page=True)
    assert Draft.objects.count() == 1
    page.fill("#in-reason", "Spring")
    page.dblclick("#confirm [type=submit]")
    expect(page.locator("#published")).to_be_visible()
    stored = Segment.objects.get(key="app_spenders")
    assert stored.version == 1
    city = {"tag": "city_tier", "cmp": "in", "value": ["first"], "if_missing": "match"}
    web = {"attr": "channel", "cmp": "eq", "value": "web"}
    assert stored.document["rule"] == {
        "all": [{"metric": "spend", "cmp": "gte", "value": "100"}, {"any": [web, city]}]
    }
    assert Draft.objects.count() == 0
    assert visit.complaints == []


def test_without_a_mouse(visit: Visit, username: str) -> None:
    """Enter in a field never saves or leaves the form; every act is a button that Tab reaches."""
    page = visit.page
    start(visit, username)
    page.focus("#about-rule-0-subject")
    page.keyboard.type("orders")
    page.keyboard.press("Enter")
    expect(page.locator("#about-rule-0-subject")).to_have_value("orders")
    settled(visit)
    page.focus("#about-rule-add")
    page.keyboard.press("Enter")
    expect(page.locator("#about-rule-1-subject")).to_be_focused()
    page.focus("#editor [value='remove:rule.1']")
    page.keyboard.press("Space")
    expect(page.locator("#about-rule-1-subject")).to_have_count(0)
    settled(visit)
    assert Draft.objects.get().revision == 1
    assert visit.complaints == []
