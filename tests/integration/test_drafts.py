"""Drafts: saved without overwriting anybody, seen only by who may, made from many things."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from config.clock import real_now
from membership.domain.field_changes import FieldChange
from membership.services.draft_documents import bundle
from membership.services.drafts import (
    DraftConflict,
    Work,
    discard_draft,
    new_work,
    save_draft,
    work_on,
)
from membership.services.publishing import carry_out, offer_publication
from membership.services.template_drafts import (
    cloned,
    drafts_from_document,
    drafts_from_template,
)
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import Draft
from segmentation.permissions import visible_drafts
from segmentation.services.templates_catalog import TEMPLATES, template_named
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.world import CLUB, World

pytestmark = pytest.mark.django_db
SPENDERS, OTHERS = Ref("segment", "spenders"), Ref("segment", "others")


@pytest.fixture
def cast() -> Cast:
    World().apply(CLUB)
    return make_cast()


def save(work: Work, user: User, *, stamp: str | None = None, **changes: Any) -> Work:
    document = {**work.document, **changes}
    return save_draft(
        work, document=document, stamp=work.stamp if stamp is None else stamp,
        viewer=user, actor=user.get_username(),
    )  # fmt: skip


def segment(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "purpose": "service", "visibility": "internal", "rule": {"all": []}, **more}


def make(key: str, user: User, **more: Any) -> Work:
    document = segment(key, **more)
    return new_work(Ref("segment", key), document, viewer=user, actor=user.get_username())


def refusal(error: pytest.ExceptionInfo[TierwiseError]) -> list[tuple[str, str]]:
    return [(problem.path, problem.code) for problem in error.value.problems]


def test_a_definition_opens_without_being_saved(cast: Cast) -> None:
    work = work_on(SPENDERS, viewer=cast.operations_manager)
    assert (work.base_version, work.stamp, work.is_saved) == (1, "v1", False)
    assert work.document["rule"] == {"metric": "spend", "cmp": "gte", "value": "100"}
    assert Draft.objects.count() == 0


def test_saving_counts_revisions_and_keeps_who(cast: Cast) -> None:
    first = save(work_on(SPENDERS, viewer=cast.analyst), cast.analyst, purpose="research")
    second = save(first, cast.operations_manager, purpose="promotion")
    draft = Draft.objects.get()
    assert (draft.revision, draft.author, draft.base_version) == (2, "operations_manager", 1)
    assert draft.document["purpose"] == "promotion"
    assert second.stamp == f"{draft.pk}.2"


def test_an_older_state_does_not_overwrite_and_shows_what_changed(cast: Cast) -> None:
    mine = save(work_on(SPENDERS, viewer=cast.analyst), cast.analyst)
    theirs = save(mine, cast.operations_manager, purpose="promotion")
    save(theirs, cast.operations_manager, visibility="internal", purpose="research")
    with pytest.raises(DraftConflict) as refused:
        save(mine, cast.analyst, purpose="retention")
    edits = refused.value.edits
    assert [(edit.author, edit.changes) for edit in edits] == [
        ("operations_manager", (FieldChange("/purpose", "service", "promotion"),)),
        ("operations_manager", (FieldChange("/purpose", "promotion", "research"),)),
    ]
    assert Draft.objects.get().document["purpose"] == "research"
    current = refused.value.current
    assert current is not None
    assert save(mine, cast.analyst, stamp=current.stamp, purpose="retention").stamp.endswith(".4")
    assert Draft.objects.get().document["purpose"] == "retention"


def test_the_first_save_of_an_edit_meets_somebody_elses(cast: Cast) -> None:
    one = work_on(SPENDERS, viewer=cast.analyst)
    two = work_on(SPENDERS, viewer=cast.operations_manager)
    save(one, cast.analyst, purpose="research")
    with pytest.raises(DraftConflict) as refused:
        save(two, cast.operations_manager, purpose="promotion")
    assert refused.value.current is not None
    assert refused.value.current.author == "analyst"
    assert Draft.objects.get().document["purpose"] == "research"


def publish(work: Work, user: User) -> None:
    basis = offer_publication(work.ref, viewer=user, now=real_now()).basis
    assert basis is not None
    carry_out(basis.token(), reason="r", key=work.stamp, user=user, now=real_now())


def test_what_was_published_since_is_not_overwritten(cast: Cast) -> None:
    """One looked at version 1 and saves after version 2: refused with who changed what, whether
    the draft was ever saved or not."""
    owner = cast.operations_manager
    unsaved = work_on(SPENDERS, viewer=cast.analyst)
    saved = save(unsaved, owner, purpose="promotion")
    publish(saved, owner)
    for mine in (unsaved, saved):
        with pytest.raises(DraftConflict) as refused:
            save(mine, cast.analyst, purpose="retention")
        assert refused.value.message.startswith("operations_manager published this")
        assert [(edit.author, edit.changes) for edit in refused.value.edits] == [
            ("operations_manager", (FieldChange("/purpose", "service", "promotion"),))
        ]
        assert Draft.objects.count() == 0
    current = refused.value.current
    assert current is not None
    assert current.document["purpose"] == "promotion"
    assert save(current, cast.analyst, purpose="retention").base_version == 2


def test_a_draft_that_is_gone_is_no_longer_saved_into(cast: Cast) -> None:
    mine = make("mine", cast.analyst)
    discard_draft(mine, actor="operations_manager")
    with pytest.raises(DraftConflict) as refused:
        save(mine, cast.analyst)
    assert refused.value.current is None
    make("mine", cast.operations_manager)  # a later draft of the key is another one
    with pytest.raises(DraftConflict):
        save(mine, cast.analyst, purpose="research")
    assert Draft.objects.get().author == "operations_manager"


def test_over_a_discarded_draft_of_what_is_published_the_second_save_is_a_new_draft(
    cast: Cast,
) -> None:
    mine = save(work_on(SPENDERS, viewer=cast.analyst), cast.analyst, purpose="research")
    discard_draft(mine, actor="operations_manager")
    with pytest.raises(DraftConflict) as refused:
        save(mine, cast.analyst, purpose="promotion")
    assert "discarded" in refused.value.message
    assert refused.value.edits == ()
    assert Draft.objects.count() == 0
    assert refused.value.current is not None
    again = save(refused.value.current, cast.analyst, purpose="promotion")
    assert (again.base_version, Draft.objects.get().document["purpose"]) == (1, "promotion")


def test_discarding_needs_the_state_that_was_seen(cast: Cast) -> None:
    mine = make("mine", cast.analyst)
    save(mine, cast.operations_manager, purpose="research")
    with pytest.raises(DraftConflict):
        discard_draft(mine, actor="analyst")
    assert Draft.objects.count() == 1


def test_a_new_draft_moves_to_the_key_it_says(cast: Cast) -> None:
    mine = make("mine", cast.analyst)
    moved = save(mine, cast.analyst, key="ours")
    assert moved.ref == Ref("segment", "ours")
    assert [draft.key for draft in Draft.objects.all()] == ["ours"]
    kept = save(moved, cast.analyst, key="Not A Key")  # stays where it was, typed as it was
    assert (kept.ref.key, kept.document["key"]) == ("ours", "Not A Key")


@pytest.mark.parametrize("key", ["spenders", "others", "taken"])
def test_a_taken_key_is_refused_in_the_same_words(cast: Cast, key: str) -> None:
    """A living segment, a hidden one, a draft: the refusal tells none from the other."""
    make("taken", cast.operations_manager)
    with pytest.raises(TierwiseError) as refused:
        make(key, cast.analyst)
    assert refused.value.code == "key_taken"
    assert refused.value.message == f"The key “{key}” can't be used; choose another one."
    mine = make("mine", cast.analyst)
    with pytest.raises(TierwiseError) as moved:
        save(mine, cast.analyst, key=key)
    assert moved.value.message == refused.value.message
    assert sorted(Draft.objects.values_list("key", flat=True)) == ["mine", "taken"]


def test_hidden_drafts_are_for_people_with_the_right(cast: Cast) -> None:
    hidden = work_on(OTHERS, viewer=cast.operations_manager)
    save(hidden, cast.operations_manager, purpose="research")
    make("secret", cast.operations_manager, visibility="hidden")
    named = {"all": [{"segment": "others", "cmp": "member"}]}
    make("names_it", cast.operations_manager, rule=named)
    for viewer in (cast.analyst, cast.support_agent, cast.stranger):
        assert visible_drafts(viewer).count() == 0
        for key in ("others", "secret", "names_it"):
            with pytest.raises(NotFoundError):
                work_on(Ref("segment", key), viewer=viewer)
    assert visible_drafts(cast.auditor).count() == 3


def test_making_a_segment_hidden_needs_the_right(cast: Cast) -> None:
    with pytest.raises(TierwiseError) as refused:
        make("secret", cast.analyst, visibility="hidden")
    assert refusal(refused) == [("/visibility", "forbidden")]
    mine = make("mine", cast.analyst)
    with pytest.raises(TierwiseError) as later:
        save(mine, cast.analyst, visibility="hidden")
    assert refusal(later) == [("/visibility", "forbidden")]
    assert Draft.objects.get().document["visibility"] == "internal"


def test_a_clone_starts_anew(cast: Cast) -> None:
    document = cloned(SPENDERS, key="copy", viewer=cast.analyst)
    assert document["key"] == "copy"
    assert document["rule"] == {"metric": "spend", "cmp": "gte", "value": "100"}
    with pytest.raises(NotFoundError):
        cloned(OTHERS, key="copy", viewer=cast.analyst)
    program = cloned(Ref("program", "club"), key="club2", viewer=cast.analyst)
    assert [tier["key"] for tier in program["version"]["tiers"]] == ["silver", "gold"]


def test_a_document_becomes_drafts_all_or_none(cast: Cast) -> None:
    user = cast.operations_manager
    good = {"metrics": [{**CLUB["metrics"][0], "unit": "count"}], "segments": [segment("fresh")]}
    works = drafts_from_document(good, viewer=user, actor="operations_manager")
    assert [(str(work.ref), work.base_version) for work in works] == [
        ("metric:spend", 1), ("segment:fresh", 0),
    ]  # fmt: skip
    bad = {"segments": [segment("second"), segment("fresh")]}
    with pytest.raises(TierwiseError):
        drafts_from_document(bad, viewer=user, actor="operations_manager")
    with pytest.raises(TierwiseError) as unknown:
        drafts_from_document({"segmentz": []}, viewer=user, actor="operations_manager")
    assert refusal(unknown) == [("/segmentz", "unknown_key")]
    assert Draft.objects.count() == 2


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_each_template_makes_drafts_without_a_problem(cast: Cast, template: Any) -> None:
    user = cast.operations_manager
    given = {parameter.name: parameter.default for parameter in template.parameters}
    work = drafts_from_template(
        template, {**given, "key": "made"}, viewer=user, actor="operations_manager"
    )
    assert work.ref.key == "made"
    found = bundle(work.ref, work.document, viewer=user, stamp=work.stamp)
    from membership.services.draft_checks import judged

    assert judged(found.document, viewer=user).problems == ()
    assert {str(ref) for ref in found.refs} == {str(draft) for draft in Draft.objects.all()}
    label = work.document["label"]
    assert label["en"].isascii()
    assert not label["zh-hans"].isascii()


def test_a_template_uses_the_metrics_that_are_there(cast: Cast) -> None:
    since = {
        "key": "quiet_for", "source": "orders", "aggregate": {"fn": "days_since_last"},
        "window": {"all": True}, "unit": "days",
    }  # fmt: skip
    World().apply({"metrics": [since]})
    template = template_named("dormant")
    assert template is not None
    work = drafts_from_template(
        template, {"key": "asleep", "from": "90", "to": "365"},
        viewer=cast.operations_manager, actor="operations_manager",
    )  # fmt: skip
    condition = {"metric": "quiet_for", "cmp": "between", "value": ["90", "365"]}
    assert work.document["rule"] == {"all": [condition]}
    assert [str(draft) for draft in Draft.objects.all()] == ["segment:asleep"]


def test_wrong_parameters_are_told_all_at_once(cast: Cast) -> None:
    template = template_named("rfm_corner")
    assert template is not None
    given = {"key": "R F M", "recency": "0", "frequency": "2.5", "money": "much", "days": "365"}
    with pytest.raises(TierwiseError) as refused:
        drafts_from_template(
            template, given, viewer=cast.operations_manager, actor="operations_manager"
        )
    assert refusal(refused) == [
        ("/key", "invalid_key"),
        ("/recency", "out_of_range"),
        ("/frequency", "out_of_range"),
        ("/money", "out_of_range"),
    ]
    assert Draft.objects.count() == 0
