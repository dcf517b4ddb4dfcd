#!/bin/sh
# Run by the image of PostgreSQL when its volume is empty: roles, database, rights, passwords.
set -eu
psql="psql --set ON_ERROR_STOP=1 --no-psqlrc --username $POSTGRES_USER"
$psql --dbname postgres --file /deploy/1-roles.sql
$psql --dbname tierwise --file /deploy/2-rights.sql
$psql --dbname postgres --set owner="$OWNER_PASSWORD" --set app="$APP_PASSWORD" <<'SQL'
ALTER ROLE tierwise_owner PASSWORD :'owner';
ALTER ROLE tierwise_app PASSWORD :'app';
SQL
