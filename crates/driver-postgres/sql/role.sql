-- The role of Tripoint's actor, and the one row that it writes. Run as a superuser on the
-- primary, in the database that the actor connects to; run again it changes nothing.
--
-- The role can watch (pg_monitor) and update that row. It cannot promote, stop, reload or
-- read anything else: only the gate promotes.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tripoint') THEN
        CREATE ROLE tripoint LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
END
$$;
GRANT pg_monitor TO tripoint;
CREATE SCHEMA IF NOT EXISTS tripoint;
GRANT USAGE ON SCHEMA tripoint TO tripoint;
CREATE TABLE IF NOT EXISTS tripoint.probe (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    written_at timestamptz NOT NULL
);
INSERT INTO tripoint.probe (written_at) VALUES (pg_catalog.clock_timestamp()) ON CONFLICT DO NOTHING;
REVOKE ALL ON tripoint.probe FROM PUBLIC;
GRANT UPDATE (written_at) ON tripoint.probe TO tripoint;
