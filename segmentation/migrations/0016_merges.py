from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("segmentation", "0015_run_trust")]
    operations: list[object] = []
