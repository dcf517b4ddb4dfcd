"""What a person reads who is refused: their language, a way on, and nothing about what is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from django.utils import translation

from segmentation.models import Segment
from tests.fixtures.cast import Cast
from tests.fixtures.sample import HIDDEN_KEY, Shop

Enter = Callable[..., Client]


@pytest.mark.parametrize(
    ("language", "words"), [("en", "nothing that you may know of"), ("zh-hans", "你无权查看")]
)
def test_what_is_hidden_and_what_is_not_there_get_the_same_page(
    cast: Cast, shop: Shop, enter: Enter, language: str, words: str
) -> None:
    client = enter(cast.support_agent, language=language)
    hidden = Segment.objects.get(key=HIDDEN_KEY).pk
    answers = [
        client.get(reverse("admin:segmentation_segment_members", args=[pk]))
        for pk in (hidden, 999_999_999)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    there, not_there = (answer.content.decode() for answer in answers)
    assert words in there
    assert reverse("admin:index") in there
    assert there.replace(f"/{hidden}/", "/") == not_there.replace("/999999999/", "/")


def test_what_the_role_does_not_include_is_said_in_the_persons_language(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    answer = enter(cast.support_agent, language="zh-hans").get(
        reverse("admin:segmentation_job_changelist")
    )
    assert answer.status_code == 403
    assert "你的角色" in answer.content.decode()


def test_a_form_of_another_log_in_says_that_nothing_was_done(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True, headers={"accept-language": "zh-hans"})
    client.force_login(
        User.objects.get(pk=cast.analyst.pk), "django.contrib.auth.backends.ModelBackend"
    )
    answer = client.post(reverse("admin:builder_start"), {})
    assert answer.status_code == 403
    assert "没有执行任何操作" in answer.content.decode()


def test_the_page_of_a_fault_needs_nothing_but_itself() -> None:
    with translation.override("zh-hans"):
        assert "出错了" in render_to_string("500.html")
