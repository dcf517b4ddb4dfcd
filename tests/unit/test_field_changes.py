"""Documents compared field by field."""

from __future__ import annotations

from typing import Any

import pytest

from membership.domain.field_changes import FieldChange, field_changes


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("/a", 1, 2)]),
        ({"a": 1}, {}, [("/a", 1, None)]),
        ({}, {"a": {"b": 1}}, [("/a", None, {"b": 1})]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3, 4]}}, [("/a/b/1", 2, 3), ("/a/b/2", None, 4)]),
        ({"a/b": 1}, {"a/b": 2}, [("/a~1b", 1, 2)]),
        ({"a": True}, {"a": 1}, [("/a", True, 1)]),  # equal in Python, not in a document
        ({"a": [1]}, {"a": {"b": 1}}, [("/a", [1], {"b": 1})]),
    ],
)
def test_each_place_that_differs(before: Any, after: Any, changes: list[Any]) -> None:
    assert field_changes(before, after) == tuple(FieldChange(*change) for change in changes)
