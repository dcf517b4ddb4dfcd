"""The first pages people open, drawn by a browser in both languages."""

from __future__ import annotations

import re
from typing import Any

import polib
import pytest
from django.conf import settings
from django.urls import reverse

from segmentation.models import Segment
from tests.fixtures.cast import make_cast
from tests.fixtures.sample import make_shop

from .conftest import Visit

pytestmark = pytest.mark.browser
# What the sample writes in English, whatever the language of the page.
DATA = {"Gold", "Silver", "Gold Club", "City tier", "Orders", "Customer"}


def _english_texts() -> set[str]:
    """Texts of the catalogue that would be noticed: two words or more."""
    path = settings.LOCALE_PATHS[0] / "zh_Hans" / "LC_MESSAGES" / "django.po"
    return {
        entry.msgid
        for entry in polib.pofile(str(path))
        if re.fullmatch(r"[A-Za-z][A-Za-z,' ]{3,}", entry.msgid) and entry.msgid not in DATA
    }


@pytest.mark.django_db(transaction=True)
def test_pages_are_whole(visit: Visit) -> None:
    """No complaint of the browser, nothing wider than the window, one language a page."""
    cast, shop = make_cast(), make_shop()
    metric = reverse("admin:segmentation_metric_change", args=[_first("Metric")])
    version = reverse("admin:membership_programversion_change", args=[_first("ProgramVersion")])
    pages = {
        "home": reverse("admin:index"),
        "customers": reverse("admin:segmentation_customer_changelist"),
        "customer": reverse("admin:segmentation_customer_change", args=[shop.customers[0].pk]),
        "orders": reverse("admin:segmentation_order_changelist"),
        "metric": metric,
        "segments": reverse("admin:segmentation_segment_changelist"),
        "segment": reverse("admin:segmentation_segment_change", args=[shop.segment.pk]),
        "lists": reverse("admin:segmentation_manualmember_changelist"),
        "list_add": reverse("admin:segmentation_manualmember_add"),
        "programs": reverse("admin:membership_program_changelist"),
        "program": reverse("admin:membership_program_change", args=[shop.program.pk]),
        "version": version,
        "memberships": reverse("admin:membership_membership_changelist"),
        "transitions": reverse("admin:membership_transition_changelist"),
        "imports": reverse("admin:segmentation_factbatch_changelist"),
        "runs": reverse("admin:segmentation_run_changelist"),
        "run": reverse("admin:segmentation_run_change", args=[shop.run.pk]),
        "recompute": reverse("admin:segmentation_run_recompute"),
        "versions": reverse("admin:membership_program_versions", args=[shop.program.pk]),
        "membership": reverse("admin:membership_membership_change", args=[_first("Membership")]),
        "transition": reverse("admin:membership_transition_change", args=[_first("Transition")]),
        "operations": reverse("admin:pghistory_context_changelist"),
    }
    visit.log_in(cast.operations_manager.username)
    language = str(visit.page.evaluate("document.documentElement.lang"))
    assert language in ("en", "zh-hans")
    english = _english_texts() if language == "zh-hans" else set()
    wide, foreign = {}, {}
    for name, address in pages.items():
        visit.open(address, name=f"{language}_{name}")
        if visit.overflow() > 0:
            wide[name] = visit.overflow()
        lines = {line.strip() for line in visit.words().splitlines()}
        if lines & english:
            foreign[name] = lines & english
    assert visit.complaints == []
    assert wide == {}
    assert foreign == {}


@pytest.mark.django_db(transaction=True)
def test_first_steps_show_on_an_empty_installation(visit: Visit) -> None:
    cast = make_cast()
    visit.log_in(cast.operations_manager.username)
    language = str(visit.page.evaluate("document.documentElement.lang"))
    visit.open(reverse("admin:index"), name=f"{language}_first_steps")
    assert visit.page.locator("#first-steps .tw-step:not(.tw-done)").count() == 3
    assert visit.complaints == []


@pytest.mark.django_db(transaction=True)
def test_switching_the_language_stays_on_the_page(visit: Visit) -> None:
    cast = make_cast()
    make_shop()
    visit.log_in(cast.operations_manager.username)
    visit.open(reverse("admin:segmentation_segment_changelist"))
    other = {"en": "zh-hans", "zh-hans": "en"}
    before = str(visit.page.evaluate("document.documentElement.lang"))
    visit.page.locator("#nav-sidebar").get_by_text("operations_manager").click()
    button = visit.page.locator(f"form:has(input[name=language][value={other[before]}]) button")
    button.click()
    visit.page.wait_for_load_state("networkidle")
    assert visit.page.evaluate("document.documentElement.lang") == other[before]
    assert visit.page.url.endswith(reverse("admin:segmentation_segment_changelist"))
    assert visit.complaints == []


def _first(model: str) -> int:
    from membership.models import Membership, ProgramVersion, Transition
    from segmentation.models import Metric

    models = (Membership, Metric, ProgramVersion, Segment, Transition)
    found: Any = {each.__name__: each for each in models}[model]
    return int(found.objects.order_by("pk").values_list("pk", flat=True)[0])
