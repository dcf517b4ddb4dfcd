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
    "merged": _("two IDs of one person were merged"),
    "only_merged": _("only the merged ID had a tier"),
    "only_survivor": _("only the ID that stayed had a tier"),
    "higher_rank": _("the higher tier is kept"),
    "not_in_grace": _("the tier that is not in grace is kept"),
    "lasts_longer": _("the tier that lasts longer is kept"),
    "same": _("both had the same tier"),
    "merge_undone": _("a merge was undone"),
}


def reason_words(codes: Iterable[str]) -> str:
    """Reason codes in words, in the order in which they decided; an unknown code as it is."""
    return clauses(REASONS.get(code, code) for code in codes)
