from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("segmentation", "0013_cancel_all_jobs")]
    operations: list[object] = []
