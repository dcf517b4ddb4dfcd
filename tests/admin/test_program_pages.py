"""Programs, memberships and transitions as people use them: figures, links, filters, row scope."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pgtrigger
import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from config import clock
from membership.admin.quick_choices import quick_choices
from membership.models import Membership, ProgramVersion, Transition
from membership.services.tier_figures import expiring, moves, tier_sizes, tier_trend
from segmentation.models import AccessRecord, Customer
from tests.fixtures.cast import OWN_STORE, Cast
from tests.fixtures.sample import AS_OF, Shop
from tests.fixtures.world import CLUB, World

Enter = Callable[..., Client]
LISTS = {
    "membership": "admin:membership_membership_changelist",
    "transition": "admin:membership_transition_changelist",
}


@pytest.fixture(autouse=True)
def on_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's clock stands at the newest run of the sample, 2026-03-02 in Shanghai."""
    monkeypatch.setattr(clock, "now", lambda: AS_OF)


def _words(cell: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", str(cell))).strip()


def _listed(client: Client, model: str, query: str = "") -> list[str]:
    response = client.get(f"{reverse(LISTS[model])}?{query}")
    assert response.status_code == 200, query
    return [row.customer.external_id for row in response.context["cl"].result_list]


def _decide(shop: Shop, **values: Any) -> Transition:
    """Change the decision about the sample's first customer: decisions are else append-only."""
    row = Transition.objects.get(customer=shop.customers[0])
    with pgtrigger.ignore("membership.Transition:append_only"):
        Transition.objects.filter(pk=row.pk).update(**values)
    return row


def _only_first_two_are_own(shop: Shop) -> None:
    own = [customer.pk for customer in shop.customers[:2]]
    with pgtrigger.ignore("segmentation.Customer:change_needs_batch"):
        Customer.objects.update(home_store="S9")
        Customer.objects.filter(pk__in=own).update(home_store=OWN_STORE)


# A program's page


def test_a_program_says_who_is_in_it_and_who_moved(cast: Cast, shop: Shop, enter: Enter) -> None:
    _decide(shop, kind="upgrade", from_tier="silver", to_tier="gold", reasons=["qualifies_higher"])
    client = enter(cast.operations_manager)
    response = client.get(reverse("admin:membership_program_change", args=[shop.program.pk]))
    assert response.status_code == 200
    context = response.context
    facts = {str(name): _words(value) for name, value in context["facts"]}
    assert (facts["Number of members"], facts["Version in force"], facts["In grace"]) == (
        "6",
        "1",
        "0",
    )
    tiers = [(tier.name, tier.members, tier.share, tier.change) for tier in context["tiers"]]
    assert tiers == [("Gold", "2", "33.3 %", "+1"), ("Silver", "4", "66.7 %", "−1")]
    matrix, decisions, reasons = context["moves"]
    assert [[_words(cell) for cell in row] for row in matrix.rows] == [
        ["Gold", "", "–", "–"],
        ["Silver", "1", "", "–"],
        ["no tier", "–", "5", ""],
    ]
    assert [tuple(_words(cell) for cell in row) for row in decisions.rows] == [
        ("Entry", "5"), ("Upgrade", "1"),
    ]  # fmt: skip
    assert [tuple(map(str, row)) for row in reasons.rows] == [
        ("qualifies for this tier", "5"), ("qualifies for a higher tier", "1"),
    ]  # fmt: skip
    (chart,) = context["charts"]
    assert [(one.name, list(one.values)) for one in chart.series] == [
        ("Gold", [1, 2]), ("Silver", [5, 4]),
    ]  # fmt: skip


def test_the_figures_of_a_program_lead_to_what_they_count(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    _decide(shop, kind="upgrade", from_tier="silver", to_tier="gold")
    client = enter(cast.operations_manager)
    context = client.get(reverse("admin:membership_program_change", args=[shop.program.pk])).context
    matrix, decisions, _reasons = context["moves"]

    def follow(cell: Any) -> list[str]:
        address = re.findall(r'href="([^"]+)"', str(cell))[0].replace("&amp;", "&")
        rows = client.get(address).context["cl"].result_list
        return sorted(row.customer.external_id for row in rows)

    assert follow(matrix.rows[1][1]) == ["C1000"]  # silver to gold
    assert follow(matrix.rows[2][2]) == ["C1001", "C1002", "C1003", "C1004", "C1005"]
    assert follow(decisions.rows[1][1]) == ["C1000"]
    silver = client.get(context["tiers"][1].members_url).context["cl"].result_list
    assert len(silver) == 6


def test_both_languages_tell_the_rules(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    response = client.get(reverse("admin:membership_program_change", args=[shop.program.pk]))
    told = {code: rules for code, _language, rules in response.context["sentences"]}
    assert set(told) == {"en", "zh-hans"}
    assert told["en"][0][0] == "Gold"
    assert "at least 2000" in told["en"][1][1]
    assert "不低于 2000" in told["zh-hans"][1][1]


def test_the_versions_of_a_program(cast: Cast, shop: Shop, enter: Enter) -> None:
    old = ProgramVersion.objects.get()
    ProgramVersion.objects.create(
        program=shop.program, number=2, effective_from=date(2030, 1, 1), document=old.document,
        actor="operations_manager", published_at=AS_OF,
    )  # fmt: skip
    address = reverse("admin:membership_program_versions", args=[shop.program.pk])
    versions = enter(cast.operations_manager).get(address).context["versions"]
    states = [(version.number, _words(version.state)) for version in versions]
    assert states == [(2, "Not yet in force"), (1, "In force")]
    monkey = enter(cast.stranger).get(address)
    assert monkey.status_code in (302, 403)


def test_a_program_without_a_version_in_force_says_so(
    cast: Cast, shop: Shop, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(1999, 1, 1, tzinfo=UTC))
    address = reverse("admin:membership_program_change", args=[shop.program.pk])
    response = enter(cast.operations_manager).get(address)
    assert response.status_code == 200
    assert "No version is in force yet." in response.content.decode()


def test_a_program_page_keeps_to_the_row_scope(cast: Cast, shop: Shop, enter: Enter) -> None:
    _only_first_two_are_own(shop)
    client = enter(cast.store_manager)
    context = client.get(reverse("admin:membership_program_change", args=[shop.program.pk])).context
    assert [(tier.name, tier.members, tier.change) for tier in context["tiers"]] == [
        ("Gold", "0", "±0"), ("Silver", "2", "+2"),
    ]  # fmt: skip
    assert [_words(row[1]) for row in context["moves"][1].rows] == ["2"]
    (chart,) = context["charts"]
    assert list(chart.labels) == []  # runs keep figures of all stores together
    assert "no history of yours alone" in str(chart.empty)


# Figures


def test_figures_of_tiers(cast: Cast, shop: Shop) -> None:
    boss = cast.operations_manager
    sizes = tier_sizes(boss, run=shop.run)
    assert [(each.tier, each.size, each.before) for each in sizes] == [
        ("gold", 2, 1), ("silver", 4, 5),
    ]  # fmt: skip
    found = moves(boss, run=shop.run, program=shop.program)
    assert found.cells == {("", "silver"): 6}
    assert found.kinds == {"entry": 6}
    trend = tier_trend(boss, program="gold")
    assert trend is not None
    assert [dict(point.sizes) for point in trend] == [
        {"gold": 1, "silver": 5}, {"gold": 2, "silver": 4},
    ]  # fmt: skip
    assert tier_trend(cast.store_manager, program="gold") is None


def test_a_count_stops_at_its_bound(
    cast: Cast, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoneinfo import ZoneInfo

    from membership.services import tier_figures

    zone = ZoneInfo("Asia/Shanghai")
    end = Membership.objects.all()[0].until
    assert end is not None
    day = end.astimezone(zone).date()
    place = (shop.program.pk, "silver")

    def counted() -> Any:
        (found,) = expiring(cast.operations_manager, places=[place], spans=[(day, day)], zone=zone)
        return found[place]

    assert (counted().count, counted().is_more) == (6, False)
    monkeypatch.setattr(tier_figures, "MOST", 5)
    assert (counted().count, counted().is_more) == (5, True)


# Lists


@pytest.mark.parametrize(
    ("model", "query", "size"),
    [
        ("membership", "", 6),
        ("membership", "program=gold", 6),
        ("membership", "program=none_such", 0),
        ("membership", "tier=silver", 6),
        ("membership", "tier=gold", 0),
        ("membership", "until_from=2027-03-02&until_to=2027-03-02", 6),
        ("membership", "until_from=2027-03-03", 0),
        ("membership", "until_to=2027-03-01", 0),
        ("membership", "grace_until__isnull=False", 0),
        ("membership", "grace_until__isnull=True", 6),
        ("membership", "q=C1001", 1),
        ("membership", "q=5678", 6),
        ("membership", "q=Customer+3", 1),
        ("transition", "kind__in=entry", 6),
        ("transition", "kind__in=entry,upgrade&to_tier=silver", 6),
        ("transition", "kind__in=downgrade,exit", 0),
        ("transition", "to_tier=gold", 0),
        ("transition", "from_tier=silver", 0),
        ("transition", "day_from=2026-03-01&day_to=2026-03-31", 6),
        ("transition", "day_from=2026-02-01&day_to=2026-02-28", 0),
        ("transition", "q=C1001", 1),
    ],
)  # fmt: skip
def test_lists_select(
    cast: Cast, shop: Shop, enter: Enter, model: str, query: str, size: int
) -> None:
    assert len(_listed(enter(cast.operations_manager), model, query)) == size


@pytest.mark.parametrize("model", ["membership", "transition"])
def test_an_export_holds_what_the_list_shows(
    cast: Cast, shop: Shop, enter: Enter, model: str
) -> None:
    """Each parameter of a list is one that its export follows."""
    client = enter(cast.operations_manager)
    page = client.get(reverse(LISTS[model]))
    names = [
        name for spec in page.context["cl"].filter_specs for name in spec.expected_parameters()
    ]
    values = {"program": "gold", "grace_until__isnull": "True", "kind__in": "entry"}
    query = "&".join(
        f"{name}={values.get(name, '2026-03-02' if name.endswith(('_from', '_to')) else 'silver')}"
        for name in names
    )
    shown_page = client.get(f"{reverse(LISTS[model])}?{query}&q=C1001")
    export = client.get(shown_page.context["export_url"])
    assert export.status_code == 200
    assert export.context["problems"] == ()
    assert export.context["form"] is not None


def test_quick_choices_switch_on_and_off(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    address = reverse(LISTS["transition"])
    choices = client.get(f"{address}?to_tier=gold").context["quick"]
    assert [str(choice.words) for choice in choices[:3]] == ["This month", "Last month", "2026-01"]
    assert choices[1].address == "?to_tier=gold&day_from=2026-02-01&day_to=2026-02-28"
    on = client.get(address + choices[1].address).context["quick"][1]
    assert on.is_on
    assert on.address == "?to_tier=gold"  # again: off
    assert quick_choices(client.get(address).wsgi_request, [("x", {"a": "1"})])[0].is_on is False


def test_rows_keep_to_the_row_scope(cast: Cast, shop: Shop, enter: Enter) -> None:
    _only_first_two_are_own(shop)
    client = enter(cast.store_manager)
    for model in LISTS:
        assert _listed(client, model) == ["C1001", "C1000"]
        assert _listed(client, model, "q=C1002") == []
    other = Membership.objects.get(customer=shop.customers[2])
    moved = Transition.objects.get(customer=shop.customers[2])
    for name, pk in (
        ("membership_membership_change", other.pk),
        ("membership_membership_gap", other.pk),
        ("membership_transition_change", moved.pk),
    ):
        assert client.get(reverse(f"admin:{name}", args=[pk])).status_code == 404, name


# One membership


def test_a_membership_says_how_it_came_about(cast: Cast, shop: Shop, enter: Enter) -> None:
    row = Membership.objects.get(customer=shop.customers[0])
    response = enter(cast.support_agent).get(
        reverse("admin:membership_membership_change", args=[row.pk])
    )
    facts = {str(name): _words(value) for name, value in response.context["facts"]}
    assert (facts["Customer"], facts["Tier"], facts["Until"]) == (
        "C1000", "Silver", "2027-03-02 00:00",
    )  # fmt: skip
    (decision,) = response.context["transitions"].rows
    assert [_words(cell) for cell in decision[1:5]] == [
        "Entry", "– → Silver", "qualifies for this tier", "Net spend, 365 days: 2480.50",
    ]  # fmt: skip
    assert response.context["explain_url"].endswith("?subject=tier:gold")


def test_without_the_right_a_membership_tells_no_decisions(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    cast.stranger.user_permissions.add(Permission.objects.get(codename="view_membership"))
    row = Membership.objects.get(customer=shop.customers[0])
    client = enter(cast.stranger)
    # A stranger has no store, so no customer: the row does not exist for them.
    address = reverse("admin:membership_membership_change", args=[row.pk])
    assert client.get(address).status_code == 404
    cast.stranger.user_permissions.add(Permission.objects.get(codename="view_all_customers"))
    response = enter(type(cast.stranger).objects.get(pk=cast.stranger.pk)).get(address)
    assert response.status_code == 200
    assert response.context["transitions"] is None
    assert response.context["explain_url"] == ""


@pytest.mark.django_db(transaction=True)
def test_the_gap_to_the_next_tier(settings: Any, tmp_path: Any, client: Client) -> None:
    from tests.fixtures.cast import make_cast

    settings.VAR_DIR = tmp_path
    world = World()
    world.apply(CLUB)
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    world.run("2026-01-15")
    row = Membership.objects.get()
    client.force_login(
        make_cast().support_agent, backend="django.contrib.auth.backends.ModelBackend"
    )
    address = reverse("admin:membership_membership_gap", args=[row.pk])
    ((name, gap),) = client.get(address).context["gaps"]
    assert (name, gap.need, gap.have, gap.missing) == ("spend", "1000.00", "150.00", "850.00")
    for file in (tmp_path / "runs").rglob("*.parquet"):
        file.unlink()
    assert "files of the newest run are gone" in client.get(address).content.decode()


def test_a_transition_tells_why(cast: Cast, shop: Shop, enter: Enter) -> None:
    before = AccessRecord.objects.count()
    row = Transition.objects.get(customer=shop.customers[0])
    response = enter(cast.operations_manager).get(
        reverse("admin:membership_transition_change", args=[row.pk])
    )
    assert response.context["reasons"] == "qualifies for this tier"
    assert response.context["values"] == "Net spend, 365 days: 2480.50"
    assert response.context["moved"] == "– → Silver"
    assert AccessRecord.objects.count() == before  # nothing hidden, nobody opened


def test_memberships_whose_term_is_over_are_in_grace(cast: Cast, shop: Shop, enter: Enter) -> None:
    row = Membership.objects.get(customer=shop.customers[3])
    row.until, row.grace_until = AS_OF - timedelta(days=1), AS_OF + timedelta(days=29)
    row.save()
    client = enter(cast.operations_manager)
    assert _listed(client, "membership", "grace_until__isnull=False") == ["C1003"]
    page = client.get(reverse("admin:membership_program_change", args=[shop.program.pk]))
    facts = {str(name): _words(value) for name, value in page.context["facts"]}
    assert facts["In grace"] == "1"
