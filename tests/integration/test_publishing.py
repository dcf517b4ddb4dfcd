"""Publishing drafts and retiring definitions: what was shown, once, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User

from config.clock import real_now
from membership.models import ProgramVersion
from membership.services.drafts import new_work, save_draft, work_on
from membership.services.publishing import (
    Offer,
    carry_out,
    offer_publication,
    offer_retirement,
)
from membership.services.publishing_basis import StaleChange, read_token
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import Card, DefinitionVersion, Draft, Job, Metric, Segment
from segmentation.permissions import visible_jobs
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.world import CLUB, World

pytestmark = pytest.mark.django_db
SPENDERS = Ref("segment", "spenders")


@pytest.fixture
def cast() -> Cast:
    World().apply(CLUB)
    return make_cast()


def edit(ref: Ref, user: User, **changes: Any) -> None:
    work = work_on(ref, viewer=user)
    document = {**work.document, **changes}
    save_draft(work, document=document, stamp=work.stamp, viewer=user, actor=user.get_username())


def add(kind: str, document: dict[str, Any], user: User) -> Ref:
    ref = Ref(kind, document["key"])
    return new_work(ref, document, viewer=user, actor=user.get_username()).ref


def offer(ref: Ref, user: User) -> Offer:
    return offer_publication(ref, viewer=user, now=real_now())


def confirm(shown: Offer, user: User, *, key: str = "k1", reason: str = "Because") -> Job:
    assert shown.basis is not None
    return carry_out(shown.basis.token(), reason=reason, key=key, user=user, now=real_now())


def raised(value: str) -> dict[str, Any]:
    return {"metric": "spend", "cmp": "gte", "value": value}


def versions() -> int:
    return DefinitionVersion.objects.count()


def test_publishing_makes_a_version_ends_the_draft_and_is_recorded(cast: Cast) -> None:
    user = cast.operations_manager
    edit(SPENDERS, user, rule=raised("250"))
    shown = offer(SPENDERS, user)
    assert [(edit.path, edit.before, edit.after) for edit in shown.edits] == [
        ("/rule/value", "100", "250")
    ]
    job = confirm(shown, user, reason="Higher bar")
    stored = Segment.objects.get(key="spenders")
    assert (stored.version, stored.document["rule"]["value"]) == (2, "250")
    assert Draft.objects.count() == 0
    assert (job.kind, job.status, job.subject) == ("publish", "done", "segment:spenders")
    assert job.result["changed"] == ["segment:spenders"]
    assert job.parameters["reason"] == "Higher bar"
    event = apps.get_model("segmentation", "SegmentEvent").objects.order_by("-pgh_id").first()
    assert event.pgh_context.metadata == {"actor": "operations_manager", "reason": "Higher bar"}
    card = Card.objects.get(kind="segment", key="spenders")
    assert card.owner == user  # nobody answered for it before


def test_a_second_click_publishes_nothing_more(cast: Cast) -> None:
    user = cast.operations_manager
    edit(SPENDERS, user, rule=raised("250"))
    shown = offer(SPENDERS, user)
    first = confirm(shown, user)
    before = versions()
    assert confirm(shown, user).pk == first.pk
    assert versions() == before
    assert Job.objects.filter(kind="publish").count() == 1


def test_a_form_without_its_key_finds_the_draft_gone(cast: Cast) -> None:
    """The control of the test above: what the key prevents is an error, not a second version."""
    user = cast.operations_manager
    edit(SPENDERS, user, rule=raised("250"))
    shown = offer(SPENDERS, user)
    confirm(shown, user, key="one")
    before = versions()
    with pytest.raises(StaleChange) as refused:
        confirm(shown, user, key="two")
    assert refused.value.changes[0] == "The draft segment:spenders was published or discarded."
    assert versions() == before


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("draft", "The draft segment:spenders was saved by operations_manager."),
        ("metric", "metric:spend was published as version 2 by tester."),
        ("dependent", "segment:others was published as version 2 by tester."),
    ],
)
def test_what_changed_since_it_was_shown_refuses_it(cast: Cast, what: str, told: str) -> None:
    user = cast.operations_manager
    edit(SPENDERS, user, rule=raised("250"))
    shown = offer(SPENDERS, user)
    if what == "draft":
        edit(SPENDERS, user, rule=raised("300"))
    elif what == "metric":
        World().apply({"metrics": [{**CLUB["metrics"][0], "window": {"days": 60}}]})
    else:
        World().apply({"segments": [{**CLUB["segments"][1], "purpose": "research"}]})
    before = versions()
    with pytest.raises(StaleChange) as refused:
        confirm(shown, user)
    assert refused.value.changes == (told,)
    assert versions() == before
    assert Segment.objects.get(key="spenders").version == 1
    assert Draft.objects.count() == 1
    assert Job.objects.filter(kind="publish").count() == 0
    confirm(offer(SPENDERS, user), user, key="again")  # looked at again, it goes through
    assert Segment.objects.get(key="spenders").version == 2


@pytest.mark.django_db(transaction=True)
def test_a_newer_run_refuses_it(cast: Cast) -> None:
    user, world = cast.operations_manager, World()
    world.order("C1", "2026-01-10", "120")
    world.run("2026-01-15")
    edit(SPENDERS, user, rule=raised("250"))
    shown = offer(SPENDERS, user)
    world.run("2026-01-16")
    with pytest.raises(StaleChange) as refused:
        confirm(shown, user)
    assert refused.value.changes == ("A newer run was published.",)
    assert Segment.objects.get(key="spenders").version == 1


def test_what_has_nothing_to_do_with_it_does_not_refuse_it(cast: Cast) -> None:
    user = cast.operations_manager
    edit(SPENDERS, user, rule=raised("250"))
    shown = offer(SPENDERS, user)
    World().apply({"metrics": [{**CLUB["metrics"][1], "window": {"days": 8}}]})
    confirm(shown, user)
    assert Segment.objects.get(key="spenders").version == 2


def test_a_reason_and_a_whole_token_are_needed(cast: Cast) -> None:
    user = cast.operations_manager
    edit(SPENDERS, user, rule=raised("250"))
    shown = offer(SPENDERS, user)
    with pytest.raises(TierwiseError) as silent:
        confirm(shown, user, reason="  ")
    assert silent.value.code == "reason_required"
    assert shown.basis is not None
    with pytest.raises(TierwiseError):
        carry_out(shown.basis.token() + "x", reason="r", key="k", user=user, now=real_now())
    with pytest.raises(TierwiseError):
        read_token("")
    assert versions() == len(CLUB["metrics"]) + len(CLUB["segments"]) + 1


def test_publishing_needs_the_right_of_the_kind(cast: Cast) -> None:
    """The analyst publishes metrics and layerings; segments are for somebody else."""
    edit(SPENDERS, cast.analyst, rule=raised("250"))
    shown = offer(SPENDERS, cast.analyst)
    assert (shown.lacks, shown.is_possible) == (("segment",), False)
    with pytest.raises(TierwiseError) as refused:
        confirm(shown, cast.analyst)
    assert refused.value.code == "forbidden"
    assert Segment.objects.get(key="spenders").version == 1
    assert Draft.objects.count() == 1


def test_drafts_that_need_each_other_are_published_together(cast: Cast) -> None:
    user = cast.operations_manager
    add("metric", {**CLUB["metrics"][0], "key": "spend60", "window": {"days": 60}}, user)
    half = {"formula": {"sum": [{"metric": "spend60", "times": "0.5"}]}, "unit": "money"}
    add("metric", {"key": "half", **half}, user)
    rule = {"all": [{"metric": "half", "cmp": "gte", "value": "10"}]}
    new = add("segment", {**CLUB["segments"][0], "key": "halves", "rule": rule}, user)
    shown = offer(new, user)
    assert {str(ref) for ref in shown.companions} == {"metric:half", "metric:spend60"}
    job = confirm(shown, user)
    assert job.result["created"] == ["metric:half", "metric:spend60", "segment:halves"]
    assert Draft.objects.count() == 0


def test_a_wrong_draft_is_not_published(cast: Cast) -> None:
    user = cast.operations_manager
    edit(SPENDERS, user, rule={"metric": "spent", "cmp": "gte", "value": "x"}, purpose="fun")
    shown = offer(SPENDERS, user)
    assert [(problem.path, problem.code) for problem in shown.problems] == [
        ("/segments/0/purpose", "unknown_value"),
        ("/segments/0/rule", "wrong_type"),
        ("/segments/0/rule", "unknown_metric"),
    ]
    assert shown.basis is None
    edit(SPENDERS, user, rule=raised("1"), purpose="service", key="elsewhere")
    again = offer(SPENDERS, user)
    assert [problem.code for problem in again.problems] == ["key_fixed"]


def test_a_program_gets_a_new_version(cast: Cast) -> None:
    user = cast.operations_manager
    program = Ref("program", "club")
    work = work_on(program, viewer=user)
    version = {**work.document["version"], "grace": {"days": 20}}
    edit(program, user, version=version)
    shown = offer(program, user)
    assert [edit.path for edit in shown.edits] == ["/version/grace/days"]
    confirm(shown, user)
    assert [row.document["grace"]["days"] for row in ProgramVersion.objects.order_by("number")] == [
        10, 20,
    ]  # fmt: skip


def test_retiring_is_refused_while_something_depends_on_it(cast: Cast) -> None:
    """Case S05."""
    user = cast.operations_manager
    shown = offer_retirement(Ref("metric", "spend"), viewer=user, now=real_now())
    assert [problem.code for problem in shown.problems] == ["has_dependents"]
    assert "segment:spenders" in shown.problems[0].message
    assert shown.basis is None
    free = offer_retirement(Ref("metric", "orders"), viewer=user, now=real_now())
    confirm(free, user)
    assert Metric.objects.get(key="orders").retired_at is not None
    with pytest.raises(NotFoundError):
        offer_retirement(Ref("metric", "orders"), viewer=user, now=real_now())


def test_what_only_something_hidden_uses_is_refused_without_naming_it(cast: Cast) -> None:
    rule = {"metric": "orders", "cmp": "gte", "value": "1"}
    secret = {**CLUB["segments"][1], "key": "whispers", "rule": rule}
    World().apply({"segments": [secret]})
    shown = offer_retirement(Ref("metric", "orders"), viewer=cast.analyst, now=real_now())
    said = " ".join(problem.message for problem in shown.problems)
    assert "whispers" not in said
    if shown.basis is not None:
        with pytest.raises(TierwiseError) as refused:
            confirm(shown, cast.analyst)
        assert "whispers" not in refused.value.message + repr(refused.value.problems)
    assert Metric.objects.get(key="orders").retired_at is None


def test_the_token_of_a_form_does_not_name_what_is_hidden(cast: Cast) -> None:
    # It is signed, not secret: whoever has the page can read it.
    rule = {"metric": "orders", "cmp": "gte", "value": "1"}
    secret = {**CLUB["segments"][1], "key": "whispers", "rule": rule}
    assert secret["visibility"] == "hidden"
    World().apply({"segments": [secret]})
    edit(Ref("metric", "orders"), cast.analyst, label={"en": "Orders", "zh-hans": "单数"})
    for user, names_it in ((cast.analyst, False), (cast.operations_manager, True)):
        shown = offer(Ref("metric", "orders"), user)
        assert shown.basis is not None
        carried = read_token(shown.basis.token())
        assert ("segment:whispers" in carried.versions) is names_it
        assert ("whispers" in repr(carried)) is names_it
    confirm(offer(Ref("metric", "orders"), cast.analyst), cast.analyst)
    assert Metric.objects.get(key="orders").label_en == "Orders"


def test_the_record_of_something_hidden_is_hidden(cast: Cast) -> None:
    user = cast.operations_manager
    edit(Ref("segment", "others"), user, purpose="research")
    job = confirm(offer(Ref("segment", "others"), user), user)
    assert job.is_hidden is True
    assert visible_jobs(cast.integration).filter(pk=job.pk).count() == 0
    assert visible_jobs(cast.auditor).filter(pk=job.pk).count() == 1
    with pytest.raises(NotFoundError):
        offer_retirement(Ref("segment", "others"), viewer=cast.analyst, now=real_now())
