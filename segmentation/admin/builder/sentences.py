"""A whole rule as one sentence in both languages, also while it is half typed."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from ..rule_words import in_both_languages, rule_sentence
from .vocabulary import Vocabulary


def sentences(rule: Any, *, words: Vocabulary) -> list[tuple[str, str, str]]:
    """(language code, its name, the sentence) for each language of the interface."""
    names = words.names()

    def made() -> str:
        try:
            text = rule_sentence(rule, known=names)
        except (KeyError, IndexError, TypeError, AttributeError):
            return _("The rule is not complete yet.")
        return f"{text[:1].upper()}{text[1:]}"

    return in_both_languages(made)
