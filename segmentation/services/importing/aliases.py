"""Facts sent under an id that was merged: they are the survivor's, and it is kept that they came
under the old id, so that an undo of the merge gives them back.

A row of the customers file is no such fact: attributes and tag cells of an old id stay with it,
count nowhere and are there again after an undo. So a system that still sends the old id every night
does not overwrite the survivor.
"""

from __future__ import annotations

from dataclasses import dataclass

from .shapes import Shape, literal, quoted
from .staging import fetch, reject_where, run

_CUSTOMERS = "segmentation_customer"
_REDIRECTED = "segmentation_redirectedfact"


@dataclass(frozen=True, slots=True)
class Redirects:
    """Whether any id stands for another one at all; without, nothing is to be done."""

    kind: str
    shape: Shape
    are_there: bool

    def keep(self) -> None:
        """After the write: under which id of a merged person each fact came last."""
        if not self.are_there:
            return
        stored = f"import_rows s{self.shape.joins} JOIN {self.shape.table} t ON {self.shape.match}"
        kind = literal(self.kind)
        if fetch(f"SELECT FROM {_REDIRECTED} WHERE kind = {kind} LIMIT 1"):
            run(
                f"DELETE FROM {_REDIRECTED} f USING {stored} WHERE f.kind = {kind}"
                " AND f.row_id = t.id"
            )
        run(
            f'INSERT INTO {_REDIRECTED} (kind, row_id, "column", alias_id)'
            f' SELECT {kind}, t.id, a."column", a.alias FROM {stored}'
            " JOIN import_aliases a ON a.sequence = s.sequence"
        )
        # What came under a survivor's own id stays with it when the merge is undone, also where
        # nothing was written because nothing differs.
        for column in self.shape.customers:
            name = literal(column.removesuffix("_id"))
            run(
                f'INSERT INTO {_REDIRECTED} (kind, row_id, "column", alias_id)'
                f" SELECT {kind}, t.id, {name}, t.{quoted(column)} FROM {stored}"
                f" WHERE EXISTS (SELECT FROM {_CUSTOMERS} c WHERE c.merged_into_id ="
                f" t.{quoted(column)}) AND NOT EXISTS (SELECT FROM import_aliases a"
                f' WHERE a.sequence = s.sequence AND a."column" = {name})'
            )


def redirect(kind: str, shape: Shape) -> Redirects:
    """Put the survivor's id into staged rows that name an old one. The caller holds the kind's
    lock, which a merge takes as well. A referral between the two would be one of oneself: rejected.
    """
    there = bool(shape.customers) and bool(
        fetch(f"SELECT FROM {_CUSTOMERS} WHERE merged_into_id IS NOT NULL LIMIT 1")
    )
    if not there:
        return Redirects(kind, shape, are_there=False)
    run('CREATE TEMPORARY TABLE import_aliases (sequence bigint, "column" text, alias bigint)')
    for column in shape.customers:
        staged = quoted(column)
        run(
            f"WITH named AS (UPDATE import_rows s SET {staged} = r.external_id"
            f" FROM {_CUSTOMERS} c JOIN {_CUSTOMERS} r ON r.id = c.merged_into_id"
            f" WHERE c.merged_into_id IS NOT NULL AND c.external_id = s.{staged}"
            " RETURNING s.sequence, c.id)"
            f" INSERT INTO import_aliases SELECT sequence, {literal(column.removesuffix('_id'))},"
            " id FROM named"
        )
    if kind == "referrals":
        reject_where(
            "self_referral",
            "SELECT s.sequence FROM import_rows s JOIN import_aliases a USING (sequence)"
            " WHERE s.referrer_id = s.referee_id",
        )
    return Redirects(kind, shape, are_there=True)
