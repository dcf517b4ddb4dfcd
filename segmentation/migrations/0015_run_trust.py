from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segmentation", "0014_held_runs")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="rows",
            field=models.JSONField(default=dict, verbose_name="rows per stage"),
        ),
        migrations.AddField(
            model_name="run",
            name="memory",
            field=models.JSONField(default=dict, verbose_name="memory per stage"),
        ),
        migrations.AddField(
            model_name="run",
            name="spilled",
            field=models.BigIntegerField(blank=True, null=True, verbose_name="spilled to disk"),
        ),
        migrations.AddField(
            model_name="run",
            name="error_code",
            field=models.CharField(blank=True, max_length=32, verbose_name="error code"),
        ),
        migrations.AddField(
            model_name="run",
            name="cancelled_by",
            field=models.CharField(blank=True, max_length=150, verbose_name="cancelled by"),
        ),
        migrations.AddField(
            model_name="run",
            name="cancelled_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="cancelled at"),
        ),
        migrations.AddField(
            model_name="run",
            name="is_scheduled",
            field=models.BooleanField(default=False, verbose_name="scheduled"),
        ),
        migrations.AlterModelOptions(
            name="run",
            options={
                "permissions": [
                    ("request_run", "Can start a run"),
                    ("verify_run", "Can verify a run"),
                    ("release_run", "Can release or reject a held run"),
                    ("cancel_run", "Can stop a run"),
                ],
                "verbose_name": "run",
                "verbose_name_plural": "runs",
            },
        ),
    ]
