"""Django's database cache with an increment that loses no count."""

from __future__ import annotations

import base64
import pickle
from typing import Any

from django.core.cache.backends.db import DatabaseCache
from django.db import connections, router, transaction


class CountingDatabaseCache(DatabaseCache):
    """`incr` locks the entry and keeps its expiry; Django's own reads, adds and writes anew."""

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Raises ValueError for an entry that is not there."""
        name = self.make_and_validate_key(key, version=version)
        using = router.db_for_write(self.cache_model_class)
        connection = connections[using]
        table = connection.ops.quote_name(str(self._table))  # type: ignore[attr-defined]
        with transaction.atomic(using=using), connection.cursor() as cursor:
            cursor.execute(
                f"SELECT value FROM {table} WHERE cache_key = %s AND expires > now() FOR UPDATE",
                [name],
            )
            row = cursor.fetchone()
            if row is None:
                raise ValueError(f"Key {key!r} not found")
            # Only this class writes the table; the pickle is our own.
            value = int(pickle.loads(base64.b64decode(row[0].encode()))) + delta  # noqa: S301
            packed = base64.b64encode(pickle.dumps(value, self.pickle_protocol)).decode("latin1")
            cursor.execute(
                f"UPDATE {table} SET value = %s WHERE cache_key = %s",
                [packed, name],
            )
        return value
