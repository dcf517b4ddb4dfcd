"""Tag values in files: the cells of `tag:<group>` columns, and the rows of the kind `tags`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segmentation.domain.facts import ImportedGroup, group_problem, tag_group_of

SEPARATOR = "|"


def tag_columns(names: Mapping[str, object] | tuple[str, ...]) -> dict[str, str]:
    """The staging column of each `tag:<group>` column, by group, in order of the groups."""
    groups = sorted(group for name in names if (group := tag_group_of(name)) is not None)
    return {group: f"tag_{index}" for index, group in enumerate(groups)}


def tag_arrays(
    columns: Mapping[str, pa.StringArray],
    *,
    groups: Mapping[str, ImportedGroup],
    refuse: Callable[[int, str, str], None],
) -> dict[str, pa.Array]:
    """Each tag column as PostgreSQL array literals of its values, sorted; `{}` for an empty cell.

    In an exclusive group the cell is the value; otherwise values are separated by `|`.
    """
    arrays = {}
    for group, staged in tag_columns(dict(columns)).items():
        cells = columns[f"tag:{group}"].dictionary_encode()
        literals: list[str] = []
        for code, cell in enumerate(cells.dictionary.to_pylist()):
            values = cell_values(cell, group=groups[group])
            unknown = sorted(values - groups[group].values)
            if unknown:
                where = pc.fill_null(pc.equal(cells.indices, code), False)
                for index in np.flatnonzero(where.to_numpy(zero_copy_only=False)).tolist():
                    refuse(index, "unknown_value", _unknown(group, unknown[0]))
            literals.append(_literal(sorted(values)))
        texts = pa.array(literals, pa.string()).take(cells.indices)
        arrays[staged] = pc.fill_null(texts, "{}")
    return arrays


def cell_values(cell: str, *, group: ImportedGroup) -> frozenset[str]:
    """The values a cell names."""
    if group.exclusive:
        return frozenset({cell})
    return frozenset(value for value in cell.split(SEPARATOR) if value)


def _literal(values: list[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def tag_row_problems(
    group_cells: pa.StringArray, value_cells: pa.StringArray, *, groups: Mapping[str, ImportedGroup]
) -> Iterator[tuple[int, str, str]]:
    """Rows of the kind `tags` whose group or value can't be recorded: index, code, sentence."""
    indexes = pa.array(np.arange(len(group_cells)))
    rows = pa.table({"group": group_cells, "value": value_cells, "index": indexes})
    for pair in rows.group_by(["group", "value"]).aggregate([("index", "list")]).to_pylist():
        group, value = pair["group"], pair["value"]
        if group is None or value is None:
            continue  # missing, refused already
        problem = group_problem(group, groups=groups)
        if problem is None and value not in groups[group].values:
            problem = "unknown_value", _unknown(group, value)
        if problem is not None:
            for index in pair["index_list"]:
                yield index, *problem


def _unknown(group: str, value: str) -> str:
    return f"Tag group {group} has no value {value}."
