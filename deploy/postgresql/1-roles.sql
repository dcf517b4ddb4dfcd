-- Run once as a superuser, connected to any database. Two roles: one owns the tables and changes
-- them at an upgrade, the other is what the application works with day by day.
-- Give them passwords afterwards: \password tierwise_owner, \password tierwise_app
CREATE ROLE tierwise_owner LOGIN;
CREATE ROLE tierwise_app LOGIN;
CREATE DATABASE tierwise OWNER tierwise_owner ENCODING 'UTF8' TEMPLATE template0;
