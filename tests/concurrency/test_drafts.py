"""Two people save or publish the same draft at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection

from config.clock import real_now
from membership.services.drafts import DraftConflict, new_work, save_draft, work_on
from membership.services.publishing import carry_out, offer_publication
from segmentation.domain.dependencies import Ref
from segmentation.models import DefinitionVersion, Draft, Job
from tests.fixtures.cast import make_cast
from tests.fixtures.world import CLUB, World

from .test_runs import together

pytestmark = pytest.mark.django_db(transaction=True)
NEW = Ref("segment", "fresh")


def drafted() -> User:
    World().apply(CLUB)
    user = make_cast().operations_manager
    document = {**CLUB["segments"][0], "key": "fresh"}
    new_work(NEW, document, viewer=user, actor="operations_manager")
    return user


def counted(work: Callable[[int], str]) -> list[object]:
    """What several threads got, each with a number of its own."""
    numbers = iter(range(100))
    lock = threading.Lock()

    def one() -> str:
        with lock:
            number = next(numbers)
        return work(number)

    return together(6, one)


def test_of_saves_of_the_same_state_exactly_one_wins() -> None:
    user = drafted()
    work = work_on(NEW, viewer=user)

    def save(number: int) -> str:
        document = {**work.document, "label": {"en": f"n{number}"}}
        try:
            save_draft(work, document=document, stamp=work.stamp, viewer=user, actor=f"p{number}")
        except DraftConflict:
            return "refused"
        return f"p{number}"

    found = counted(save)
    winners = [name for name in found if name != "refused"]
    assert len(winners) == 1
    draft = Draft.objects.get()
    assert (draft.revision, draft.author) == (2, winners[0])


def test_control_without_the_revision_every_save_goes_through() -> None:
    """What the condition prevents: read, then write."""
    user = drafted()
    work = work_on(NEW, viewer=user)
    gate = threading.Barrier(6)

    def save(number: int) -> str:
        draft = Draft.objects.get()
        gate.wait()
        if f"{draft.pk}.{draft.revision}" != work.stamp:
            return "refused"
        Draft.objects.filter(pk=draft.pk).update(author=f"p{number}", revision=draft.revision + 1)
        return f"p{number}"

    assert "refused" not in counted(save)
    assert Draft.objects.get().revision == 2  # five of six saves are lost, and nobody knows


def test_of_first_saves_of_an_edit_exactly_one_wins() -> None:
    user = drafted()
    ref = Ref("segment", "spenders")
    work = work_on(ref, viewer=user)

    def save(number: int) -> str:
        try:
            save_draft(work, document=work.document, stamp=work.stamp, viewer=user,
                       actor=f"p{number}")  # fmt: skip
        except DraftConflict:
            return "refused"
        return "saved"

    assert sorted(map(str, counted(save))) == ["refused"] * 5 + ["saved"]
    assert Draft.objects.filter(key="spenders").count() == 1


def test_many_clicks_publish_once() -> None:
    user = drafted()
    basis = offer_publication(NEW, viewer=user, now=real_now()).basis
    assert basis is not None
    token = basis.token()

    def publish(number: int) -> str:
        connection.ensure_connection()
        return str(carry_out(token, reason="r", key="k", user=user, now=real_now()).pk)

    found = counted(publish)
    assert len(found) == 6
    assert len(set(found)) == 1
    assert DefinitionVersion.objects.filter(kind="segment", key="fresh").count() == 1
    assert Job.objects.filter(kind="publish").count() == 1
    assert Draft.objects.count() == 0
