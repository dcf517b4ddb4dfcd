from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("membership", "0007_held_runs"), ("segmentation", "0014_held_runs")]
    operations: list[object] = []
