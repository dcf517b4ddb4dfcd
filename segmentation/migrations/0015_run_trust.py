from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("segmentation", "0014_held_runs")]
    operations: list[object] = []
