"""From staged rows to stored facts, in sets.

Rows of one key follow each other in file order: the first is compared with what is stored, every
other with the one before it, and the last one is written. The caller holds the lock of the kind.
"""

from __future__ import annotations

from dataclasses import dataclass

from .shapes import Assigned, Shape, quoted
from .staging import Sent, fetch, run


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many staged rows were new, as stored, and different from what was stored."""

    inserted: int
    unchanged: int
    updated: int


class Merge:
    """The steps, to be called in the order in which they are written here."""

    def __init__(self, shape: Shape, *, sent: Sent) -> None:
        self._shape = shape
        self._sent = sent
        self._has_chains = False
        self._has_targets = False
        self._has_changes = False

    def link_repeated_keys(self) -> None:
        """`import_chain`: the rows whose key is in the file more than once, each with what it is
        beside the row before it."""
        shape = self._shape
        chain = ", ".join(shape.chain)
        staged = [
            name
            for (name,) in fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'import_rows'::regclass"
                " AND attnum > 0 AND attname NOT IN ('sequence', 'given', 'loose')"
            )
        ]
        values = ", ".join(f"s.{quoted(name)}" for name in staged)
        key = ", ".join(f"s.{quoted(name)}" for name in shape.key)
        links = ", ".join(f"e{index}" for index in range(len(shape.chain)))
        pairs = " AND ".join(
            f"{expression} IS NOT DISTINCT FROM e{index}"
            for index, expression in enumerate(shape.chain)
            if index
        )
        pairs = f" AND {pairs}" if pairs else ""
        run(
            "CREATE TEMPORARY TABLE import_chain AS"
            " SELECT s.sequence, lag(s.sequence) OVER w IS NULL AS is_first,"
            " lead(s.sequence) OVER w IS NULL AS is_last,"
            f" ROW({values}) IS DISTINCT FROM lag(ROW({values})) OVER w AS differs,"
            f" row_number() OVER (PARTITION BY {key} ORDER BY s.sequence) > 1 AS is_repeated"
            f" FROM import_rows s JOIN (SELECT {chain} FROM import_rows s"
            f" GROUP BY {chain} HAVING count(*) > 1) r ({links})"
            f" ON {shape.chain[0]} = e0{pairs}"
            f" WINDOW w AS (PARTITION BY {chain} ORDER BY s.sequence)"
        )
        run("ANALYZE import_chain")
        self._has_chains = bool(fetch("SELECT FROM import_chain LIMIT 1"))

    def find_stored(self) -> None:
        """`import_targets`: the staged rows whose key is stored, and whether they change it."""
        shape = self._shape
        old = []
        new = []
        for assigned in shape.assigned:
            value = self._new_value(assigned)
            if value is not None:
                old.append(f"t.{quoted(assigned.column)}")
                new.append(value)
        rewrites = f"ROW({', '.join(old)}) IS DISTINCT FROM ROW({', '.join(new)})"
        run(
            "CREATE TEMPORARY TABLE import_targets AS"
            f" SELECT s.sequence, t.id, {shape.is_new} AS is_new, {rewrites} AS rewrites,"
            f" {shape.changed_too} AS changed_too"
            f" FROM import_rows s{shape.joins} JOIN {shape.table} t ON {shape.match}"
        )
        run("ANALYZE import_targets")
        self._has_targets = bool(fetch("SELECT FROM import_targets LIMIT 1"))
        self._has_changes = bool(
            fetch("SELECT FROM import_targets WHERE rewrites OR changed_too LIMIT 1")
        )

    _OUTCOME = (
        "CASE WHEN l.is_first IS FALSE THEN"
        " CASE WHEN NOT l.differs THEN 'unchanged'"
        " WHEN l.is_repeated OR g.id IS NOT NULL THEN 'updated' ELSE 'inserted' END"
        " WHEN g.id IS NULL OR g.is_new THEN 'inserted'"
        " WHEN g.rewrites OR g.changed_too THEN 'updated' ELSE 'unchanged' END"
    )
    _JOINED = (
        " LEFT JOIN import_chain l USING (sequence) LEFT JOIN import_targets g USING (sequence)"
    )

    def outcomes(self) -> Outcomes:
        """Counts over all staged rows."""
        (total,) = fetch("SELECT count(*) FROM import_rows")[0]
        counts = {"inserted": 0, "unchanged": 0, "updated": 0}
        if self._has_chains or self._has_targets:
            counts |= dict(
                fetch(
                    f"SELECT {self._OUTCOME}, count(*) FROM (SELECT sequence FROM import_chain"
                    f" UNION SELECT sequence FROM import_targets) k{self._JOINED} GROUP BY 1"
                )
            )
        counts["inserted"] += total - sum(counts.values())
        return Outcomes(**counts)

    def outcome_by_row(self) -> dict[int, str]:
        """The outcome of each staged row, by sequence number. For the few rows of an API call."""
        return dict(fetch(f"SELECT s.sequence, {self._OUTCOME} FROM import_rows s{self._JOINED}"))

    def keep_last_rows(self) -> None:
        """Only the last row of each key is written."""
        if self._has_chains:
            run(
                "DELETE FROM import_rows s USING import_chain l"
                " WHERE l.sequence = s.sequence AND NOT l.is_last"
            )

    @property
    def has_changes(self) -> bool:
        """Does a staged row change a stored one?"""
        return self._has_changes

    @property
    def may_write(self) -> bool:
        """Is there a row to insert or to update?"""
        if self._has_changes:
            return True
        # Counted: asked with LIMIT 1 the planner goes row by row and needs a minute when none is.
        (new,) = fetch(f"SELECT count(*) FROM import_rows s WHERE TRUE{self._not_stored()}")[0]
        return bool(new)

    def insert(self, *, batch: int, also: tuple[Assigned, ...] = ()) -> int:
        """Insert rows of new keys; returns how many."""
        shape = self._shape
        columns = [*shape.fixed, *also]
        values = [assigned.value for assigned in columns]
        for assigned in shape.assigned:
            if self._is_sent(assigned) != "FALSE":
                default = assigned.default
                columns.append(assigned)
                values.append(
                    f"COALESCE({assigned.value}, {default})" if default else assigned.value
                )
            elif assigned.default:
                columns.append(assigned)
                values.append(assigned.default)
        names = ", ".join(quoted(assigned.column) for assigned in columns)
        return run(
            f"INSERT INTO {shape.table} (batch_id, {names}) SELECT {batch}, {', '.join(values)}"
            f" FROM import_rows s{shape.joins} WHERE TRUE{self._not_stored()}"
        )

    def update(self, *, batch: int) -> int:
        """Write a new version of each stored row that changes; returns how many."""
        if not self._has_changes:
            return 0
        shape = self._shape
        changes = [f"batch_id = {batch}"]
        for assigned in shape.assigned:
            value = self._new_value(assigned)
            if value is not None:
                changes.append(f"{quoted(assigned.column)} = {value}")
        # The joins of the shape name no stored row, so it can be joined by its id afterwards.
        return run(
            f"UPDATE {shape.table} t SET {', '.join(changes)} FROM import_rows s{shape.joins}"
            " JOIN import_targets g ON g.sequence = s.sequence AND g.rewrites"
            " WHERE t.id = g.id"
        )

    def _not_stored(self) -> str:
        if not self._has_targets:
            return ""
        return " AND NOT EXISTS (SELECT FROM import_targets g WHERE g.sequence = s.sequence)"

    def _is_sent(self, assigned: Assigned) -> str:
        return "TRUE" if assigned.sent_as is None else self._sent.condition(assigned.sent_as)

    def _new_value(self, assigned: Assigned) -> str | None:
        """The value a stored row gets; None when nothing can change it."""
        sent = self._is_sent(assigned)
        if sent == "TRUE":
            return assigned.value
        kept = assigned.kept or f"t.{quoted(assigned.column)}"
        if sent == "FALSE":
            return assigned.kept
        return f"CASE WHEN {sent} THEN {assigned.value} ELSE {kept} END"
