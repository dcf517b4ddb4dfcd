from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("membership", "0006_cancel_all_jobs"), ("segmentation", "0014_held_runs")]
    operations: list[object] = []
