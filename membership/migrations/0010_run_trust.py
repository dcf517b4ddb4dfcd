from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("membership", "0009_merges"), ("segmentation", "0015_run_trust")]
    operations: list[object] = []
