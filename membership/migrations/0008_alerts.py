"""Alerts: rules, channels, what was found and whom it was told."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
import django.db.models.expressions
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

# What is watched from the start, told on screens only: a channel is a person's to add. Thresholds
# are the defaults that the code declares for the kind.
RULES = {
    "run_failed": "critical",
    "run_held": "critical",
    "run_late": "warning",
    "run_missing": "critical",
    "parity": "critical",
    "mirror_lag": "warning",
    "rejects": "warning",
    "feed_stopped": "warning",
    "upgrades": "warning",
    "approval_waiting": "info",
}
ROLES: dict[str, dict[str, str]] = {
    "Operations manager": {
        "membership": "view_alert acknowledge_alert view_alertrule change_alertrule "
        "view_alertchannel add_alertchannel change_alertchannel view_alertdelivery "
        "resend_alertdelivery view_alertruleevent view_alertchannelevent view_alertrouteevent"
    },
    "Reviewer": {"membership": "view_alert view_alertrule"},
    "Analyst": {"membership": "view_alert view_alertrule"},
    "Auditor": {
        "membership": "view_alert view_alertrule view_alertchannel view_alertdelivery "
        "view_alertruleevent view_alertchannelevent view_alertrouteevent"
    },
}


def make_rules(apps: Any, schema_editor: Any) -> None:
    rules = apps.get_model("membership", "AlertRule")
    rules.objects.bulk_create(
        rules(kind=kind, severity=severity, thresholds={}, memory={})
        for kind, severity in RULES.items()
    )


def add_rights(apps: Any, schema_editor: Any) -> None:
    config = apps.get_app_config("membership")
    config.models_module = True  # permissions are made after all migrations; we need it now
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    groups, permissions = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, rights in ROLES.items():
        group = groups.objects.filter(name=name).first()
        if group is None:  # renamed or removed by a person: theirs to give
            continue
        for label, codenames in rights.items():
            wanted = codenames.split()
            group.permissions.add(
                *permissions.objects.filter(content_type__app_label=label, codename__in=wanted)
            )


class Migration(migrations.Migration):
    dependencies = [
        ("membership", "0007_held_runs"),
        ("segmentation", "0014_held_runs"),
        ("pghistory", "0007_auto_20250421_0444"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Alert',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('subject', models.CharField(max_length=100, verbose_name='about')),
                ('state', models.CharField(choices=[('open', 'Open'), ('acknowledged', 'Acknowledged'), ('resolved', 'Resolved')], default='open', max_length=12, verbose_name='state')),
                ('parameters', models.JSONField(default=dict, verbose_name='parameters')),
                ('opened_at', models.DateTimeField(verbose_name='opened at')),
                ('last_seen_at', models.DateTimeField(verbose_name='last seen at')),
                ('times_seen', models.PositiveIntegerField(default=1, verbose_name='times seen')),
                ('reminders', models.PositiveIntegerField(default=0, verbose_name='reminders')),
                ('acknowledged_by', models.CharField(blank=True, max_length=150, verbose_name='acknowledged by')),
                ('acknowledged_at', models.DateTimeField(blank=True, null=True, verbose_name='acknowledged at')),
                ('note', models.TextField(blank=True, verbose_name='note')),
                ('resolved_at', models.DateTimeField(blank=True, null=True, verbose_name='resolved at')),
            ],
            options={
                'verbose_name': 'alert',
                'verbose_name_plural': 'alerts',
                'permissions': [('acknowledge_alert', 'Can acknowledge alerts')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='AlertChannelEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('id', models.BigIntegerField()),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('kind', models.CharField(choices=[('email', 'E-mail'), ('webhook', 'Webhook'), ('wecom', 'WeCom robot'), ('dingtalk', 'DingTalk robot'), ('feishu', 'Feishu robot')], max_length=8, verbose_name='kind')),
                ('target', models.CharField(max_length=300, verbose_name='address')),
                ('secret_set_at', models.DateTimeField(blank=True, null=True, verbose_name='secret set at')),
                ('language', models.CharField(choices=[('en', 'English'), ('zh-hans', '简体中文')], default='zh-hans', max_length=8, verbose_name='language')),
                ('is_enabled', models.BooleanField(default=True, verbose_name='in use')),
            ],
            options={
                'verbose_name': 'history of alert channels',
                'verbose_name_plural': 'history of alert channels',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='AlertDelivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(choices=[('opened', 'Opened'), ('reminder', 'Reminder'), ('resolved', 'Resolved')], max_length=8, verbose_name='occasion')),
                ('number', models.PositiveIntegerField(default=0, verbose_name='number')),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('sent', 'Sent'), ('failed', 'Failed'), ('skipped', 'Not needed')], default='waiting', max_length=7, verbose_name='state')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('given_up_at', models.DateTimeField(verbose_name='given up at')),
                ('not_before', models.DateTimeField(verbose_name='not before')),
                ('attempts', models.PositiveIntegerField(default=0, verbose_name='attempts')),
                ('last_error', models.CharField(blank=True, max_length=300, verbose_name='last error')),
                ('sent_at', models.DateTimeField(blank=True, null=True, verbose_name='sent at')),
                ('lease_owner', models.CharField(blank=True, max_length=128, verbose_name='worker')),
                ('lease_until', models.DateTimeField(blank=True, null=True, verbose_name='lease ends at')),
            ],
            options={
                'verbose_name': 'alert message',
                'verbose_name_plural': 'alert messages',
                'permissions': [('resend_alertdelivery', 'Can send alert messages again')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='AlertRoute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
            ],
            options={
                'verbose_name': 'channel of a rule',
                'verbose_name_plural': 'channels of rules',
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='AlertRouteEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('id', models.BigIntegerField()),
            ],
            options={
                'verbose_name': 'history of channels of rules',
                'verbose_name_plural': 'history of channels of rules',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='AlertRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('run_failed', 'Run failed'), ('run_held', 'Run held'), ('run_late', 'Run late'), ('run_missing', 'Run did not happen'), ('parity', 'Oracle disagrees'), ('mirror_lag', 'Mirror behind'), ('rejects', 'Rejected rows'), ('feed_stopped', 'Feed stopped'), ('upgrades', 'Unusually many upgrades'), ('approval_waiting', 'Approval waiting')], max_length=16, verbose_name='kind')),
                ('is_enabled', models.BooleanField(default=True, verbose_name='in use')),
                ('severity', models.CharField(choices=[('info', 'For information'), ('warning', 'Warning'), ('critical', 'Critical')], default='warning', max_length=8, verbose_name='severity')),
                ('thresholds', models.JSONField(default=dict, verbose_name='thresholds')),
                ('quiet_from', models.TimeField(blank=True, null=True, verbose_name='quiet from')),
                ('quiet_until', models.TimeField(blank=True, null=True, verbose_name='quiet until')),
                ('remind_hours', models.PositiveSmallIntegerField(default=0, verbose_name='remind after hours')),
                ('checked_at', models.DateTimeField(blank=True, null=True, verbose_name='last checked at')),
                ('fault', models.CharField(blank=True, max_length=100, verbose_name='fault')),
                ('memory', models.JSONField(default=dict)),
            ],
            options={
                'verbose_name': 'alert rule',
                'verbose_name_plural': 'alert rules',
                'default_permissions': ('view', 'change'),
            },
        ),
        migrations.CreateModel(
            name='AlertRuleEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('id', models.BigIntegerField()),
                ('kind', models.CharField(choices=[('run_failed', 'Run failed'), ('run_held', 'Run held'), ('run_late', 'Run late'), ('run_missing', 'Run did not happen'), ('parity', 'Oracle disagrees'), ('mirror_lag', 'Mirror behind'), ('rejects', 'Rejected rows'), ('feed_stopped', 'Feed stopped'), ('upgrades', 'Unusually many upgrades'), ('approval_waiting', 'Approval waiting')], max_length=16, verbose_name='kind')),
                ('is_enabled', models.BooleanField(default=True, verbose_name='in use')),
                ('severity', models.CharField(choices=[('info', 'For information'), ('warning', 'Warning'), ('critical', 'Critical')], default='warning', max_length=8, verbose_name='severity')),
                ('thresholds', models.JSONField(default=dict, verbose_name='thresholds')),
                ('quiet_from', models.TimeField(blank=True, null=True, verbose_name='quiet from')),
                ('quiet_until', models.TimeField(blank=True, null=True, verbose_name='quiet until')),
                ('remind_hours', models.PositiveSmallIntegerField(default=0, verbose_name='remind after hours')),
            ],
            options={
                'verbose_name': 'history of alert rules',
                'verbose_name_plural': 'history of alert rules',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='AlertChannel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('kind', models.CharField(choices=[('email', 'E-mail'), ('webhook', 'Webhook'), ('wecom', 'WeCom robot'), ('dingtalk', 'DingTalk robot'), ('feishu', 'Feishu robot')], max_length=8, verbose_name='kind')),
                ('address', models.TextField(verbose_name='address')),
                ('target', models.CharField(max_length=300, verbose_name='address')),
                ('secret', models.CharField(blank=True, max_length=200, verbose_name='signing secret')),
                ('secret_set_at', models.DateTimeField(blank=True, null=True, verbose_name='secret set at')),
                ('language', models.CharField(choices=[('en', 'English'), ('zh-hans', '简体中文')], default='zh-hans', max_length=8, verbose_name='language')),
                ('is_enabled', models.BooleanField(default=True, verbose_name='in use')),
            ],
            options={
                'verbose_name': 'alert channel',
                'verbose_name_plural': 'alert channels',
                'default_permissions': ('view', 'add', 'change'),
                'constraints': [models.UniqueConstraint(fields=('name',), name='alertchannel_name')],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertchannel',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "membership_alertchannelevent" ("id", "is_enabled", "kind", "language", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "secret_set_at", "target") SELECT new_values."id", new_values."is_enabled", new_values."kind", new_values."language", new_values."name", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."secret_set_at", new_values."target" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='e83187356e2557830700ec77248d556ce9720b3c', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_2be55', referencing='REFERENCING NEW TABLE AS new_values ', table='membership_alertchannel', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertchannel',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "membership_alertchannelevent" ("id", "is_enabled", "kind", "language", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "secret_set_at", "target") SELECT new_values."id", new_values."is_enabled", new_values."kind", new_values."language", new_values."name", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."secret_set_at", new_values."target" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."is_enabled" IS DISTINCT FROM (new_values."is_enabled") OR old_values."kind" IS DISTINCT FROM (new_values."kind") OR old_values."language" IS DISTINCT FROM (new_values."language") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."secret_set_at" IS DISTINCT FROM (new_values."secret_set_at") OR old_values."target" IS DISTINCT FROM (new_values."target")) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='10df46cba3f8652a93fa274d557eb22f99535dd0', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_950b6', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='membership_alertchannel', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertchannel',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "membership_alertchannelevent" ("id", "is_enabled", "kind", "language", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "secret_set_at", "target") SELECT old_values."id", old_values."is_enabled", old_values."kind", old_values."language", old_values."name", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."secret_set_at", old_values."target" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='f3b5d5c41f4f90fda8b7ae5cde09ab65d6585629', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_71d6f', referencing='REFERENCING OLD TABLE AS old_values ', table='membership_alertchannel', when='AFTER')),
        ),
        migrations.AddField(
            model_name='alertchannelevent',
            name='pgh_context',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context'),
        ),
        migrations.AddField(
            model_name='alertchannelevent',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='membership.alertchannel'),
        ),
        migrations.AddField(
            model_name='alertdelivery',
            name='alert',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='membership.alert', verbose_name='alert'),
        ),
        migrations.AddField(
            model_name='alertdelivery',
            name='channel',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='membership.alertchannel', verbose_name='alert channel'),
        ),
        migrations.AddField(
            model_name='alertroute',
            name='channel',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='membership.alertchannel', verbose_name='alert channel'),
        ),
        migrations.AddField(
            model_name='alertrouteevent',
            name='channel',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='membership.alertchannel', verbose_name='alert channel'),
        ),
        migrations.AddField(
            model_name='alertrouteevent',
            name='pgh_context',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context'),
        ),
        migrations.AddField(
            model_name='alertrouteevent',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='membership.alertroute'),
        ),
        migrations.AddField(
            model_name='alertrule',
            name='channels',
            field=models.ManyToManyField(blank=True, related_name='rules', through='membership.AlertRoute', to='membership.alertchannel', verbose_name='channels'),
        ),
        migrations.AddField(
            model_name='alertrule',
            name='owner',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='owner'),
        ),
        migrations.AddField(
            model_name='alertrouteevent',
            name='rule',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='membership.alertrule', verbose_name='alert rule'),
        ),
        migrations.AddField(
            model_name='alertroute',
            name='rule',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='membership.alertrule', verbose_name='alert rule'),
        ),
        migrations.AddField(
            model_name='alert',
            name='rule',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='membership.alertrule', verbose_name='alert rule'),
        ),
        migrations.AddField(
            model_name='alertruleevent',
            name='owner',
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL, verbose_name='owner'),
        ),
        migrations.AddField(
            model_name='alertruleevent',
            name='pgh_context',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context'),
        ),
        migrations.AddField(
            model_name='alertruleevent',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='membership.alertrule'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertchannelevent',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='45ff3d080c14a85fec03a67970aea0e336f2bfa9', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_01624', table='membership_alertchannelevent', when='BEFORE')),
        ),
        migrations.AddIndex(
            model_name='alertdelivery',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['not_before', 'id'], name='alertdelivery_waiting'),
        ),
        migrations.AddConstraint(
            model_name='alertdelivery',
            constraint=models.UniqueConstraint(fields=('alert', 'channel', 'event', 'number'), name='alertdelivery_key'),
        ),
        migrations.AddConstraint(
            model_name='alertrule',
            constraint=models.UniqueConstraint(fields=('kind',), name='alertrule_kind'),
        ),
        migrations.AddConstraint(
            model_name='alertrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('quiet_from', None), ('quiet_until', None)), models.Q(('quiet_from__isnull', False), ('quiet_until__isnull', False), models.Q(('quiet_from', models.F('quiet_until')), _negated=True)), _connector='OR'), name='alertrule_quiet_hours_whole'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertrule',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "membership_alertruleevent" ("id", "is_enabled", "kind", "owner_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "quiet_from", "quiet_until", "remind_hours", "severity", "thresholds") SELECT new_values."id", new_values."is_enabled", new_values."kind", new_values."owner_id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."quiet_from", new_values."quiet_until", new_values."remind_hours", new_values."severity", new_values."thresholds" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='f53538a34ceea1239d27f39e8aea51bedea7a0ef', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_32abc', referencing='REFERENCING NEW TABLE AS new_values ', table='membership_alertrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertrule',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "membership_alertruleevent" ("id", "is_enabled", "kind", "owner_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "quiet_from", "quiet_until", "remind_hours", "severity", "thresholds") SELECT new_values."id", new_values."is_enabled", new_values."kind", new_values."owner_id", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."quiet_from", new_values."quiet_until", new_values."remind_hours", new_values."severity", new_values."thresholds" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."is_enabled" IS DISTINCT FROM (new_values."is_enabled") OR old_values."kind" IS DISTINCT FROM (new_values."kind") OR old_values."owner_id" IS DISTINCT FROM (new_values."owner_id") OR old_values."quiet_from" IS DISTINCT FROM (new_values."quiet_from") OR old_values."quiet_until" IS DISTINCT FROM (new_values."quiet_until") OR old_values."remind_hours" IS DISTINCT FROM (new_values."remind_hours") OR old_values."severity" IS DISTINCT FROM (new_values."severity") OR old_values."thresholds" IS DISTINCT FROM (new_values."thresholds")) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='4c96cc5165ac1c7db66863239c31861229f8ab22', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_8e7ab', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='membership_alertrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertrule',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "membership_alertruleevent" ("id", "is_enabled", "kind", "owner_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "quiet_from", "quiet_until", "remind_hours", "severity", "thresholds") SELECT old_values."id", old_values."is_enabled", old_values."kind", old_values."owner_id", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."quiet_from", old_values."quiet_until", old_values."remind_hours", old_values."severity", old_values."thresholds" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='577c2b654574671478242ea84a89c1baa9e010d8', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_dce34', referencing='REFERENCING OLD TABLE AS old_values ', table='membership_alertrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertrouteevent',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='5c4087623e0d4ccd2988f0206b3e6ab167d3679d', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_53cf1', table='membership_alertrouteevent', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='alertroute',
            constraint=models.UniqueConstraint(fields=('rule', 'channel'), name='alertroute_key'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertroute',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "membership_alertrouteevent" ("channel_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rule_id") SELECT new_values."channel_id", new_values."id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."rule_id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='cbd58a14f848a562e9cbff06a99880e47015421d', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_0fdaa', referencing='REFERENCING NEW TABLE AS new_values ', table='membership_alertroute', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertroute',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "membership_alertrouteevent" ("channel_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rule_id") SELECT new_values."channel_id", new_values."id", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."rule_id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='9c222898da2aaccdf7e86304da0772b56ebf99ad', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_6f6f6', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='membership_alertroute', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertroute',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "membership_alertrouteevent" ("channel_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rule_id") SELECT old_values."channel_id", old_values."id", _pgh_attached_context.value, NOW(), \'delete\', old_values."id", old_values."rule_id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='b2ba3e195dfa45c829720558f3e7d53f41f23193', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_74d8f', referencing='REFERENCING OLD TABLE AS old_values ', table='membership_alertroute', when='AFTER')),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(condition=models.Q(('state', 'resolved'), _negated=True), fields=['-id'], name='alert_unresolved'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'resolved'), _negated=True), fields=('rule', 'subject'), name='alert_one_unresolved'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='alertruleevent',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='d6794267d36bae5900688b4da1f8c23ed3509d24', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_54c8e', table='membership_alertruleevent', when='BEFORE')),
        ),
        migrations.RunPython(make_rules, migrations.RunPython.noop),
        migrations.RunPython(add_rights, migrations.RunPython.noop),
    ]
