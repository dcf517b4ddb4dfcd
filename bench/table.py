"""Rows of a benchmark as an aligned text table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def printed(rows: Sequence[Mapping[str, object]]) -> str:
    """One column per key, in the order in which keys first appear; numbers to the right."""
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = [heads, *([_cell(row.get(head)) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    numeric = [all(isinstance(row.get(head), int | float | None) for row in rows) for head in heads]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
