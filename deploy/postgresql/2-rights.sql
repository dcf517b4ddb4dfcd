-- Run once as a superuser, connected to the new database, before the first `manage.py setup`.
REVOKE ALL ON DATABASE tierwise FROM PUBLIC;
-- Imports and runs write into temporary tables first.
GRANT CONNECT, TEMPORARY ON DATABASE tierwise TO tierwise_app;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO tierwise_owner;
GRANT USAGE ON SCHEMA public TO tierwise_app;
-- Of whatever the owner makes, now and at later upgrades. No TRUNCATE: append-only stays so.
ALTER DEFAULT PRIVILEGES FOR ROLE tierwise_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tierwise_app;
ALTER DEFAULT PRIVILEGES FOR ROLE tierwise_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO tierwise_app;
ALTER DEFAULT PRIVILEGES FOR ROLE tierwise_owner IN SCHEMA public
    GRANT EXECUTE ON FUNCTIONS TO tierwise_app;
