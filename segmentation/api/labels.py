"""Names in the language of the request."""

from __future__ import annotations

from typing import Any

from django.utils.translation import get_language

from segmentation.domain.definitions import Label


def label_text(label: Label) -> str:
    """The name in the language asked for."""
    return label.zh_hans if is_chinese() else label.en


def row_label(row: Any) -> str:
    """The name of a stored definition in the language asked for; its key if it has none."""
    return str((row.label_zh_hans if is_chinese() else row.label_en) or row.key)


def is_chinese() -> bool:
    """Whether the answer is in Chinese, else it is in English."""
    return (get_language() or "").startswith("zh")
