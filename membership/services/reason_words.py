"""Why a tier was given, kept or taken, in words."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext_lazy as _

from segmentation.services.wording import clauses

REASONS = {
    "qualifies": _("qualifies for this tier"),
    "qualifies_higher": _("qualifies for a higher tier"),
    "qualifies_lower": _("qualifies for a lower tier only"),
    "qualifies_for_none": _("qualifies for no tier"),
    "term_ended": _("the tier's term ended"),
    "in_grace": _("within the grace period"),
    "grace_ended": _("the grace period ended"),
    "program_retired": _("the program has ended"),
}


def reason_words(codes: Iterable[str]) -> str:
    """Reason codes in words, in the order in which they decided; an unknown code as it is."""
    return clauses(REASONS.get(code, code) for code in codes)
