"""Compiles the translations without gettext's programs: `python -m config.messages [--check]`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import polib

LOCALE = Path(__file__).resolve().parent.parent / "locale"


def problems(catalogue: polib.POFile) -> list[str]:
    """Entries that would show English or a half-finished sentence."""
    return [
        f"{entry.msgid!r}: {'fuzzy' if entry.fuzzy else 'not translated'}"
        for entry in catalogue
        if not entry.obsolete and (entry.fuzzy or not entry.translated())
    ]


def compile_all() -> list[str]:
    """Write each `.mo` that is missing or older than its `.po`; every problem found, as text."""
    found = []
    for source in sorted(LOCALE.glob("*/LC_MESSAGES/*.po")):
        catalogue = polib.pofile(str(source), check_for_duplicates=True)
        # English is what the code says; its catalogue may be empty.
        if source.parent.parent.name != "en":
            found += [f"{source.relative_to(LOCALE)}: {problem}" for problem in problems(catalogue)]
        target = source.with_suffix(".mo")
        if not target.exists() or target.stat().st_mtime_ns < source.stat().st_mtime_ns:
            handle, draft = tempfile.mkstemp(dir=source.parent, suffix=".tmp")
            with os.fdopen(handle, "wb") as file:
                file.write(catalogue.to_binary())
            os.chmod(draft, 0o644)
            os.replace(draft, target)
    return found


def main(argv: list[str]) -> int:
    found = compile_all()
    if "--check" in argv:
        for problem in found:
            sys.stderr.write(f"{problem}\n")
        return 1 if found else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
