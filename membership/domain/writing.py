"""Programs back to documents, normalised (see segmentation.domain.writing)."""

from __future__ import annotations

from segmentation.domain.writing import Document, write_label, write_rule

from .programs import Program, ProgramVersion, Term


def write_version(version: ProgramVersion) -> Document:
    """A version without its number: what makes two versions the same."""
    return {
        "effective_from": version.effective_from.isoformat(),
        "qualification": {"period": version.period},
        "upgrade": version.upgrade,
        "keep_for": None if version.keep_for is None else _write_term(version.keep_for),
        "grace": _write_term(version.grace),
        "downgrade": version.downgrade,
        "tiers": [
            {
                "key": tier.key,
                "rank": tier.rank,
                "label": write_label(tier.label),
                "rule": write_rule(tier.rule),
            }
            for tier in version.tiers
        ],
    }


def _write_term(term: Term) -> Document:
    return {"years": term.years, "months": term.months, "days": term.days}


def write_program(program: Program) -> Document:
    """A program with all its versions, numbered."""
    return {
        "key": program.key,
        "label": write_label(program.label),
        "timezone": program.timezone,
        "versions": [
            {"number": version.number} | write_version(version) for version in program.versions
        ],
    }
