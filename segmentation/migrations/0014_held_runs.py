"""Held runs and their decision; the promotion calendar."""

import django.contrib.postgres.constraints
import django.db.models.deletion
import django.db.models.expressions
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("pghistory", "0007_auto_20250421_0444"), ("segmentation", "0013_cancel_all_jobs")]

    operations = [
        migrations.CreateModel(
            name='PromotionEventEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('id', models.BigIntegerField()),
                ('key', models.CharField(db_collation='C', max_length=64, verbose_name='key')),
                ('label_en', models.CharField(max_length=200, verbose_name='English name')),
                ('label_zh_hans', models.CharField(max_length=200, verbose_name='Chinese name')),
                ('kind', models.CharField(db_collation='C', max_length=64, verbose_name='kind of promotion')),
                ('timezone', models.CharField(max_length=64, verbose_name='time zone')),
                ('starts_on', models.DateField(verbose_name='first day')),
                ('ends_on', models.DateField(verbose_name='last day')),
                ('after_days', models.PositiveSmallIntegerField(default=0, verbose_name='days of after-effect')),
                ('freeze_from', models.DateField(blank=True, null=True, verbose_name='frozen from')),
                ('freeze_until', models.DateField(blank=True, null=True, verbose_name='frozen until')),
                ('note', models.TextField(blank=True, verbose_name='note')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created at')),
                ('updated_at', models.DateTimeField(auto_now=True, verbose_name='changed at')),
            ],
            options={
                'verbose_name': 'history of promotions',
                'verbose_name_plural': 'history of promotions',
                'abstract': False,
            },
        ),
        migrations.AlterModelOptions(
            name='run',
            options={'permissions': [('request_run', 'Can start a run'), ('verify_run', 'Can verify a run'), ('release_run', 'Can release or reject a held run')], 'verbose_name': 'run', 'verbose_name_plural': 'runs'},
        ),
        migrations.AddField(
            model_name='run',
            name='decided_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='decided at'),
        ),
        migrations.AddField(
            model_name='run',
            name='decided_by',
            field=models.CharField(blank=True, default='', max_length=150, verbose_name='decided by'),
        ),
        migrations.AddField(
            model_name='run',
            name='decision',
            field=models.CharField(blank=True, choices=[('released', 'Released'), ('rejected', 'Rejected'), ('overtaken', 'Overtaken')], default='', max_length=10, verbose_name='decision'),
        ),
        migrations.AddField(
            model_name='run',
            name='decision_reason',
            field=models.TextField(blank=True, default='', verbose_name='reason of the decision'),
        ),
        migrations.AddField(
            model_name='run',
            name='held_reasons',
            field=models.JSONField(blank=True, default=list, verbose_name='held because'),
        ),
        migrations.CreateModel(
            name='PromotionEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(db_collation='C', max_length=64, unique=True, verbose_name='key')),
                ('label_en', models.CharField(max_length=200, verbose_name='English name')),
                ('label_zh_hans', models.CharField(max_length=200, verbose_name='Chinese name')),
                ('kind', models.CharField(db_collation='C', max_length=64, verbose_name='kind of promotion')),
                ('timezone', models.CharField(max_length=64, verbose_name='time zone')),
                ('starts_on', models.DateField(verbose_name='first day')),
                ('ends_on', models.DateField(verbose_name='last day')),
                ('after_days', models.PositiveSmallIntegerField(default=0, verbose_name='days of after-effect')),
                ('freeze_from', models.DateField(blank=True, null=True, verbose_name='frozen from')),
                ('freeze_until', models.DateField(blank=True, null=True, verbose_name='frozen until')),
                ('note', models.TextField(blank=True, verbose_name='note')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created at')),
                ('updated_at', models.DateTimeField(auto_now=True, verbose_name='changed at')),
            ],
            options={
                'verbose_name': 'promotion',
                'verbose_name_plural': 'promotions',
                'ordering': ['-starts_on', 'key'],
                'permissions': [('override_freeze', 'Can publish while publishing is frozen')],
                'constraints': [models.CheckConstraint(condition=models.Q(('starts_on__lte', models.F('ends_on'))), name='promotionevent_days'), models.CheckConstraint(condition=models.Q(models.Q(('freeze_from__isnull', True), ('freeze_until__isnull', True)), models.Q(('freeze_from__isnull', False), ('freeze_from__lte', models.F('freeze_until')), ('freeze_until__isnull', False)), _connector='OR'), name='promotionevent_freeze'), django.contrib.postgres.constraints.ExclusionConstraint(expressions=[(models.Func(models.Func(models.F('kind'), models.Value(0), function='hashtextextended'), models.Func(models.F('kind'), models.Value(0), function='hashtextextended'), models.Value('[]'), function='int8range'), '&&'), (models.Func(models.F('starts_on'), models.F('ends_on'), models.Value('[]'), function='daterange'), '&&')], name='promotionevent_overlap')],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='promotionevent',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "segmentation_promotioneventevent" ("after_days", "created_at", "ends_on", "freeze_from", "freeze_until", "id", "key", "kind", "label_en", "label_zh_hans", "note", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "starts_on", "timezone", "updated_at") SELECT new_values."after_days", new_values."created_at", new_values."ends_on", new_values."freeze_from", new_values."freeze_until", new_values."id", new_values."key", new_values."kind", new_values."label_en", new_values."label_zh_hans", new_values."note", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."starts_on", new_values."timezone", new_values."updated_at" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='db74e543ac18bcc251ef2a70e6ae9a1af65a94d1', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_2f1a3', referencing='REFERENCING NEW TABLE AS new_values ', table='segmentation_promotionevent', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='promotionevent',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "segmentation_promotioneventevent" ("after_days", "created_at", "ends_on", "freeze_from", "freeze_until", "id", "key", "kind", "label_en", "label_zh_hans", "note", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "starts_on", "timezone", "updated_at") SELECT new_values."after_days", new_values."created_at", new_values."ends_on", new_values."freeze_from", new_values."freeze_until", new_values."id", new_values."key", new_values."kind", new_values."label_en", new_values."label_zh_hans", new_values."note", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."starts_on", new_values."timezone", new_values."updated_at" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='1d1041845d9ec56f083a5a70a99032a4da73b039', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_288d6', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='segmentation_promotionevent', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='promotionevent',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "segmentation_promotioneventevent" ("after_days", "created_at", "ends_on", "freeze_from", "freeze_until", "id", "key", "kind", "label_en", "label_zh_hans", "note", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "starts_on", "timezone", "updated_at") SELECT old_values."after_days", old_values."created_at", old_values."ends_on", old_values."freeze_from", old_values."freeze_until", old_values."id", old_values."key", old_values."kind", old_values."label_en", old_values."label_zh_hans", old_values."note", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."starts_on", old_values."timezone", old_values."updated_at" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='9039e860b13507a055d1d347b9a2473f9fd21439', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_bcece', referencing='REFERENCING OLD TABLE AS old_values ', table='segmentation_promotionevent', when='AFTER')),
        ),
        migrations.AddField(
            model_name='promotioneventevent',
            name='pgh_context',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context'),
        ),
        migrations.AddField(
            model_name='promotioneventevent',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='segmentation.promotionevent'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='promotioneventevent',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='2efb5ff84365def5e9612cfc3d43ad82dcbe130d', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_52d78', table='segmentation_promotioneventevent', when='BEFORE')),
        ),
    ]
