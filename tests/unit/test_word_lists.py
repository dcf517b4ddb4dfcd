"""Words joined with the punctuation of the language they are in."""

from __future__ import annotations

import pytest
from django.utils.translation import override

from membership.services.reason_words import reason_words
from segmentation.services.wording import clauses, listed, named


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", ("a, b", "a, b", "a: 1")), ("zh-hans", ("a、b", "a，b", "a：1"))],
)
def test_words_side_by_side(language: str, expected: tuple[str, str, str]) -> None:
    with override(language):
        assert (listed(("a", "b")), clauses(("a", "b")), named("a", 1)) == expected


def test_reasons_read_as_one_sentence() -> None:
    with override("zh-hans"):
        assert reason_words(("grace_ended", "qualifies_lower")) == "宽限期已结束，仅达到较低等级"
