-- The two roles of Hallpass in PostgreSQL 15 or newer: `hallpass_owner` owns the tables and migrates; `hallpass` is the service,
-- which can then neither change nor remove a row of the audit. What it may do, `hallpass migrate` grants it.
--
-- Run by a role that may make roles, in the database that Hallpass is to have; again for another database, or when a password
-- changes. The passwords come from files:
--
--   export HALLPASS_OWNER_PASSWORD_FILE=owner-password HALLPASS_SERVICE_PASSWORD_FILE=service-password
--   psql --dbname=hallpass --file=roles.sql
\set ON_ERROR_STOP on
\set owner_password `cat "$HALLPASS_OWNER_PASSWORD_FILE"`
\set service_password `cat "$HALLPASS_SERVICE_PASSWORD_FILE"`

SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY['hallpass_owner', 'hallpass']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE hallpass_owner PASSWORD :'owner_password';
ALTER ROLE hallpass PASSWORD :'service_password';

REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO hallpass_owner, hallpass;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO hallpass_owner;
GRANT USAGE ON SCHEMA public TO hallpass;
