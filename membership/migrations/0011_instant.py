from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("membership", "0010_run_trust"), ("segmentation", "0017_marks")]
    operations: list[object] = []
