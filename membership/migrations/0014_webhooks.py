from __future__ import annotations

from django.db import migrations
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    dependencies = [("membership", "0013_lifecycle")]
    operations: list[Operation] = []
