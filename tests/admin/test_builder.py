"""The builder's pages: each act, errors that lose nothing, and nothing hidden for who may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from membership.services.drafts import new_work, save_draft, work_on
from membership.services.template_drafts import blank
from segmentation.domain.dependencies import Ref
from segmentation.models import AccessRecord, Card, Draft, Segment, Star
from segmentation.services.cards import file_definition
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.world import CLUB, World

from .test_builder_roundtrip import sent

pytestmark = pytest.mark.django_db
Enter = Callable[..., Client]
SPENDERS, OTHERS = Ref("segment", "spenders"), Ref("segment", "others")
HIDDEN = {
    "key": "whisper_orchid",
    "label": {"en": "Orchid whisperers", "zh-hans": "兰花低语"},
    "purpose": "service",
    "visibility": "hidden",
    "rule": {"segment": "spenders", "cmp": "member"},
}
PAID = {"en": "Paid in total", "zh-hans": "付款总额"}


@pytest.fixture
def cast() -> Cast:
    World().apply(CLUB)
    World().apply({"segments": [HIDDEN]})
    return make_cast()


def url(name: str, ref: Ref) -> str:
    return reverse(f"admin:{name}", args=[ref.kind, ref.key])


def form_of(client: Client, ref: Ref, **changes: Any) -> dict[str, Any]:
    """What a browser sends from the builder's page after a person changed some fields."""
    html = client.get(url("builder_draft", ref)).content.decode()
    start, end = html.index('<form id="builder-form"'), html.index("<aside")
    found = sent(html[start:end])
    return {name: found.getlist(name) for name in found} | changes


def draft(user: User, key: str, **more: Any) -> Ref:
    document = {**CLUB["segments"][0], "key": key, **more}
    return new_work(Ref("segment", key), document, viewer=user, actor=user.get_username()).ref


def test_a_saved_form_is_the_draft(cast: Cast, enter: Enter) -> None:
    client = enter(cast.analyst)
    sent_form = form_of(
        client, SPENDERS, act="save", label_en="Big spenders", **{"rule:value": "250"}
    )
    answer = client.post(url("builder_draft", SPENDERS), sent_form)
    assert answer.status_code == 302
    saved = Draft.objects.get()
    assert (saved.author, saved.base_version, saved.is_hidden) == ("analyst", 1, False)
    assert saved.document["rule"] == {"metric": "spend", "cmp": "gte", "value": "250"}
    assert saved.document["label"]["en"] == "Big spenders"
    assert Segment.objects.get(key="spenders").version == 1  # nothing is published


def test_acts_change_the_screen_and_save_nothing(cast: Cast, enter: Enter) -> None:
    client = enter(cast.analyst)
    address = url("builder_draft", SPENDERS)
    form = form_of(client, SPENDERS, act="group:rule")
    html = client.post(address, form, headers={"HX-Request": "true"}).content.decode()
    assert html.lstrip().startswith('<div id="editor"')
    assert 'name="rule.1.0:subject"' in html
    assert "autofocus" in html.split('name="rule.1.0:subject"')[1].split(">")[0]
    as_document = client.post(address, {**form, "act": "view:document"}).content.decode()
    assert "metric: spend" in as_document
    assert Draft.objects.count() == 0


def test_a_document_that_is_none_stays_as_it_was_typed(cast: Cast, enter: Enter) -> None:
    client = enter(cast.analyst)
    text = "key: spenders\nrule: {all: [<oops>"
    form = {"view": "document", "text": text, "act": "save", "stamp": ""}
    answer = client.post(url("builder_draft", SPENDERS), form)
    html = answer.content.decode()
    assert "rule: {all: [&lt;oops&gt;" in html
    assert "Not YAML" in html
    assert Draft.objects.count() == 0


def test_what_is_wrong_is_shown_at_its_place_and_kept(cast: Cast, enter: Enter) -> None:
    client = enter(cast.analyst)
    rule = {"all": [{"metric": "spend", "cmp": "gte", "value": "a lot"},
                    {"metric": "spent", "cmp": "gte", "value": "1"}]}  # fmt: skip
    ref = draft(cast.analyst, "wrong", rule=rule, purpose="fun")
    html = client.get(url("builder_draft", ref)).content.decode()
    assert 'value="a lot"' in html
    for place, words in (
        ("about-rule-0", "Expected a number"),
        ("about-rule-1", "No metric &quot;spent&quot;"),
        ("field-purpose", "&quot;fun&quot; is not possible here"),
    ):
        assert f'href="#{place}"' in html
        assert (
            words in html.split(f'id="{place}"')[1].split("</div>")[0] or place == "field-purpose"
        )
        assert words in html


@pytest.mark.parametrize("kind", ["segment", "metric", "tag", "layering"])
def test_a_new_draft_says_what_is_next_and_no_problem_until_something_is_done(
    cast: Cast, enter: Enter, kind: str
) -> None:
    client, ref = enter(cast.operations_manager), Ref(kind, "fresh")
    new_work(ref, blank(kind, key="fresh"), viewer=cast.operations_manager, actor="operator")
    problems, following = "Before this can be published", "Name it in both languages"
    form = form_of(client, ref)
    for untouched in (
        client.get(url("builder_draft", ref)),
        client.post(url("builder_preview", ref), form),  # the page asks for it when it opens
    ):
        html = untouched.content.decode()
        assert following in html
        assert problems not in html
        assert "tw-errors" not in html
        assert "tw-wrong" not in html
    typed = client.post(url("builder_preview", ref), form | {"key": "Not a key"}).content.decode()
    assert problems in typed
    assert following not in typed
    saved = client.post(url("builder_draft", ref), form | {"act": "save"}, follow=True)
    html = saved.content.decode()
    assert following not in html
    assert (problems in html) is (kind != "metric")  # a new metric could be published as it is


def test_a_name_in_either_language_stands_for_its_key(cast: Cast, enter: Enter) -> None:
    """People know what a metric is called; only one thing may be called so."""
    World().apply({"metrics": [{**CLUB["metrics"][0], "key": "paid", "label": PAID}]})
    client = enter(cast.analyst)
    for name in ("付款总额", "paid in total"):
        form = form_of(client, SPENDERS, act="save", **{"rule:subject": name})
        assert client.post(url("builder_draft", SPENDERS), form).status_code == 302
        assert Draft.objects.get().document["rule"]["metric"] == "paid"
    World().apply({"metrics": [{**CLUB["metrics"][0], "key": "paid_too", "label": PAID}]})
    form = form_of(client, SPENDERS, act="refresh", **{"rule:subject": "付款总额"})
    html = client.post(url("builder_draft", SPENDERS), form).content.decode()
    assert 'value="付款总额"' in html  # two are called so: it stays as it was typed


def test_problems_say_where_and_in_the_language_of_the_page(cast: Cast, enter: Enter) -> None:
    client = enter(cast.analyst, language="zh-hans")
    form = form_of(client, SPENDERS, act="refresh", purpose="", **{"rule:subject": "没有的"})
    html = client.post(url("builder_draft", SPENDERS), form).content.decode()
    assert "用途：没有选择，或没有这个选项；请从列表中选择。" in html
    assert "没有这个指标；请从列表中选择，或先新建该指标。" in html
    assert "No metric" not in html


def test_an_overtaken_save_shows_who_changed_what_and_can_overwrite(
    cast: Cast, enter: Enter
) -> None:
    ref = draft(cast.analyst, "mine")
    client = enter(cast.analyst)
    form = form_of(client, ref, act="save", label_en="Mine")
    other = work_on(ref, viewer=cast.operations_manager)
    save_draft(
        other, document={**other.document, "purpose": "research"}, stamp=other.stamp,
        viewer=cast.operations_manager, actor="operations_manager",
    )  # fmt: skip
    answer = client.post(url("builder_draft", ref), form)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "operations_manager saved this draft since you opened it" in html
    assert "/purpose" in html
    assert 'value="Mine"' in html
    assert Draft.objects.get().document["purpose"] == "research"
    start, end = html.index('<form id="builder-form"'), html.index("<aside")
    again = sent(html[start:end])
    overwrite = {name: again.getlist(name) for name in again} | {"act": "save"}
    assert client.post(url("builder_draft", ref), overwrite).status_code == 302
    kept = Draft.objects.get()
    assert (kept.document["label"]["en"], kept.document["purpose"]) == ("Mine", "service")


@pytest.mark.django_db(transaction=True)
def test_the_preview_counts_and_offers_to_include(cast: Cast, enter: Enter) -> None:
    world = World()
    world.order("C1", "2026-01-10", "120")
    world.order("C2", "2026-01-10", "20")
    World().apply(
        {"metrics": [{"key": "gap", "source": "orders", "unit": "days", "window": {"all": True},
                      "aggregate": {"fn": "days_since_last"}}]}
    )  # fmt: skip
    world.record("customers", {"customer_id": "C3"})
    world.run("2026-01-15")
    client = enter(cast.analyst)
    ref = draft(cast.analyst, "lapsing", rule={"metric": "gap", "cmp": "lt", "value": "30"})
    form = form_of(client, ref)
    html = client.post(url("builder_preview", ref), form).content.decode()
    assert '<dd id="preview-size">2</dd>' in html
    assert "1 people have no value here and do not match." in html
    assert ">C1</a>" in html
    included = client.post(url("builder_draft", ref), {**form, "act": "include:rule"})
    assert 'name="rule:missing" value="1" checked' in included.content.decode()
    form["rule:missing"] = "1"
    assert '<dd id="preview-size">3</dd>' in client.post(
        url("builder_preview", ref), form
    ).content.decode()  # fmt: skip
    assert Draft.objects.get().document.get("rule") == {"metric": "gap", "cmp": "lt", "value": "30"}


def test_publishing_from_the_page(cast: Cast, enter: Enter) -> None:
    user = cast.operations_manager
    ref = draft(user, "fresh")
    client = enter(user)
    shell = client.get(url("builder_publish", ref)).content.decode()
    assert 'hx-get="?part=change"' in shell
    assert 'id="confirm"' not in shell  # nothing is confirmed before the change is shown
    page = client.get(url("builder_publish", ref), {"part": "change"})
    assert 'id="confirm"' in page.content.decode()
    form = {name: page.context[name] for name in ("basis", "key")}
    silent = client.post(url("builder_publish", ref), {**form, "reason": ""})
    assert silent.status_code == 422
    assert "A reason is required." in silent.content.decode()
    assert not Segment.objects.filter(key="fresh").exists()
    done = client.post(url("builder_publish", ref), {**form, "reason": "New"})
    again = client.post(url("builder_publish", ref), {**form, "reason": "New"})
    assert done.status_code == again.status_code == 302
    assert done["Location"] == again["Location"]
    assert Segment.objects.get(key="fresh").version == 1
    told = client.get(done["Location"]).content.decode()
    assert reverse("admin:segmentation_run_recompute") in told
    fresh = Segment.objects.get(key="fresh")
    assert reverse("admin:segmentation_segment_change", args=[fresh.pk]) in told
    assert client.get(url("builder_draft", ref)).status_code == 200  # now edits what is published


def test_a_stale_page_says_what_changed_and_publishes_nothing(cast: Cast, enter: Enter) -> None:
    user = cast.operations_manager
    ref = draft(user, "fresh")
    client = enter(user)
    page = client.get(url("builder_publish", ref), {"part": "change"})
    form = {name: page.context[name] for name in ("basis", "key")}
    World().apply({"metrics": [{**CLUB["metrics"][0], "window": {"days": 60}}]})
    answer = client.post(url("builder_publish", ref), {**form, "reason": "New"})
    assert answer.status_code == 409
    html = answer.content.decode()
    assert "metric:spend was published as version 2 by tester." in html
    assert ">New</textarea>" in html
    assert not Segment.objects.filter(key="fresh").exists()


def test_the_change_of_a_hidden_definition_is_one_look(cast: Cast, enter: Enter) -> None:
    """The page and the part that it asks for; the part alone, asked for later, is another."""
    client = enter(cast.operations_manager)
    address = url("builder_retire", Ref("segment", "whisper_orchid"))
    looks = AccessRecord.objects.filter(subject_key="whisper_orchid")
    assert client.get(address).status_code == 200
    assert client.get(address, {"part": "change"}).status_code == 200
    assert [(look.kind, look.details) for look in looks] == [("view_hidden", {"page": "retire"})]
    cache.clear()
    assert client.get(address, {"part": "change"}).status_code == 200
    assert looks.all().count() == 2


def test_a_part_of_a_page_that_has_problems_by_now(cast: Cast, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    ref = draft(cast.operations_manager, "fresh")
    Draft.objects.filter(key="fresh").update(document={"key": "fresh"})
    answer = client.get(url("builder_publish", ref), {"part": "change"})
    assert answer["HX-Refresh"] == "true"
    assert answer.content == b""


ROLES = ("analyst", "support_agent", "store_manager", "integration", "stranger")


@pytest.mark.parametrize("role", ROLES)
def test_nothing_hidden_is_in_the_builder(cast: Cast, enter: Enter, role: str) -> None:
    """Pages, suggestions, problems and previews; a hidden key is like one that is not there."""
    owner = cast.operations_manager
    work = work_on(Ref("segment", "whisper_orchid"), viewer=owner)
    save_draft(
        work, document=work.document, stamp=work.stamp, viewer=owner, actor="operations_manager"
    )
    draft(owner, "orchid_seed", visibility="hidden")
    rule = {"segment": "whisper_orchid", "cmp": "member"}
    guess = draft(cast.analyst, "guess", rule={"all": [rule]})
    absent = draft(cast.analyst, "absent", rule={"all": [{**rule, "segment": "no_orchid"}]})
    client = enter(getattr(cast, role))
    for name in ("builder_draft", "builder_publish", "builder_retire", "card_file"):
        for key in ("whisper_orchid", "orchid_seed"):
            there = client.get(url(name, Ref("segment", key)))
            gone = client.get(url(name, Ref("segment", "no_such")))
            assert there.status_code == gone.status_code, (name, key)
            assert there.status_code in (302, 403, 404)
    pages = [
        reverse("admin:segmentation_draft_changelist"),
        url("builder_draft", guess),
        url("builder_publish", guess),
        url("builder_draft", SPENDERS),
        url("builder_retire", SPENDERS),
        reverse("admin:builder_start") + "?kind=segment&from=whisper_orchid",
    ]
    for address in pages:
        html = client.get(address).content.decode()
        for word in ("Orchid whisperers", "兰花低语", "orchid_seed"):
            assert word not in html, address
        if "guess" not in address:  # there the person typed it
            assert "whisper_orchid" not in html.replace("from=whisper_orchid", ""), address
    told = [
        client.post(url("builder_preview", ref), {}).content.decode().replace("no_orchid", "X")
        .replace("whisper_orchid", "X").replace("absent", "Y").replace("guess", "Y")
        for ref in (guess, absent)
    ]  # fmt: skip
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "role", ["support_agent", "store_manager", "stranger", "auditor", "reviewer"]
)
def test_who_may_not_edit_changes_nothing(cast: Cast, enter: Enter, role: str) -> None:
    ref = draft(cast.operations_manager, "fresh")
    client = enter(getattr(cast, role))
    before = list(Draft.objects.values())
    form = {"view": "form", "act": "save", "stamp": "1.1", "key": "fresh"}
    for address in (
        url("builder_draft", ref), url("builder_discard", ref), url("builder_publish", ref),
        url("builder_retire", SPENDERS), reverse("admin:builder_start"),
        reverse("admin:builder_template", args=["dormant"]),
    ):  # fmt: skip
        assert client.post(address, form).status_code in (302, 403), address
    assert list(Draft.objects.values()) == before
    assert Segment.objects.get(key="spenders").retired_at is None
    assert client.get(url("builder_draft", SPENDERS)).status_code in (302, 403, 404)


def test_who_only_looks_sees_the_saved_draft_in_the_preview(cast: Cast, enter: Enter) -> None:
    """The fields of a page that only shows are not sent: they say nothing about the draft."""
    ref = draft(cast.operations_manager, "fresh")
    client = enter(cast.reviewer)
    html = client.get(url("builder_draft", ref)).content.decode()
    assert "<fieldset" in html
    assert "disabled" in html.split("<fieldset")[1].split(">")[0]
    answer = client.post(url("builder_preview", ref), {"view": "form", "stamp": ""})
    assert "Before this can be published" not in answer.content.decode()
    assert "Nothing is computed yet" in answer.content.decode()


def test_looking_at_a_hidden_draft_is_written_down(cast: Cast, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    client.get(url("builder_draft", Ref("segment", "whisper_orchid")))
    record = AccessRecord.objects.get()
    assert (record.subject_key, record.is_hidden, record.actor) == (
        "whisper_orchid", True, "operations_manager",
    )  # fmt: skip


def test_stars_and_folders(cast: Cast, enter: Enter) -> None:
    client = enter(cast.analyst)
    star = url("card_star", SPENDERS)
    assert "★" in client.post(star).content.decode()
    assert Star.objects.get().user == cast.analyst
    assert "☆" in client.post(star).content.decode()
    assert Star.objects.count() == 0
    assert client.get(star).status_code == 405
    assert client.post(url("card_star", Ref("segment", "whisper_orchid"))).status_code == 404
    answer = client.post(
        url("card_file", SPENDERS), {"folder": " Spring  2026 ", "owner": cast.analyst.pk}
    )
    assert answer.status_code == 302
    card = Card.objects.get(key="spenders")
    assert (card.folder, card.owner) == ("Spring 2026", cast.analyst)
    seen = client.get(url("card_file", SPENDERS)).context["form"]["seen"].value()
    file_definition("segment", "spenders", folder="Autumn", owner=None, actor="zoe", reason="r")
    sent = {"folder": "Winter", "owner": "", "seen": seen}
    refused = client.post(url("card_file", SPENDERS), sent)
    assert "zoe changed this since you opened it" in refused.content.decode()
    assert Card.objects.get(key="spenders").folder == "Autumn"
    again = {**sent, "seen": refused.context["form"]["seen"].value()}
    assert client.post(url("card_file", SPENDERS), again).status_code == 302
    assert Card.objects.get(key="spenders").folder == "Winter"


def test_drafts_start_from_a_key_a_document_and_a_template(cast: Cast, enter: Enter) -> None:
    client = enter(cast.analyst)
    start = reverse("admin:builder_start")
    assert client.post(start, {"kind": "layering", "key": "steps", "act": "new"}).status_code == 302
    taken = client.post(start, {"kind": "segment", "key": "spenders", "act": "new"})
    assert taken.status_code == 422
    text = "segments:\n  - {key: pasted, purpose: service, visibility: internal, rule: {all: []}}"
    assert client.post(start, {"act": "document", "text": text}).status_code == 302
    template = reverse("admin:builder_template", args=["dormant"])
    wrong = client.post(template, {"key": "asleep", "from": "x", "to": "365"})
    assert wrong.status_code == 422
    assert 'value="x"' in wrong.content.decode()
    made = client.post(template, {"key": "asleep", "from": "90", "to": "365"})
    assert made["Location"] == url("builder_draft", Ref("segment", "asleep"))
    assert sorted(map(str, Draft.objects.all())) == [
        "layering:steps", "metric:asleep_days_since_order", "segment:asleep", "segment:pasted",
    ]  # fmt: skip
