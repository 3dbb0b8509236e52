-- The role of Tripoint's actor, and the one row that it writes. Run as a superuser on the
-- primary, in the database that the actor connects to; run again it changes nothing.
--
-- The role can watch (pg_monitor), update that row and have slots of Tripoint kept. It cannot
-- promote, stop, reload or read anything else: only the gate promotes.
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

-- Physical slots that keep WAL for the other sites, on the primary and ready on each standby. With
-- its owner's rights, so that the role itself has none on slots; knows our prefix alone. On a
-- standby the slot stays at the last restartpoint: from there on a returning site needs WAL.
CREATE OR REPLACE FUNCTION tripoint.keep_slot(wanted text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    slot pg_replication_slots%ROWTYPE;
    redo pg_lsn;
    done text;
BEGIN
    IF wanted !~ '^tripoint_[a-z0-9_]+$' THEN
        RAISE EXCEPTION 'tripoint.keep_slot: % is no slot of tripoint', wanted USING ERRCODE = '22023';
    END IF;
    SELECT * INTO slot FROM pg_replication_slots s WHERE s.slot_name = wanted;
    IF FOUND AND slot.slot_type <> 'physical' THEN
        RAISE EXCEPTION 'tripoint.keep_slot: % is not physical; drop it', wanted USING ERRCODE = '55000';
    END IF;
    IF FOUND AND slot.wal_status = 'lost' AND NOT slot.active THEN
        PERFORM pg_drop_replication_slot(wanted);
        done := 'lost its WAL, dropped and made again';
        slot.slot_name := NULL;
    END IF;
    IF slot.slot_name IS NULL THEN
        PERFORM pg_create_physical_replication_slot(wanted, true);
        RETURN coalesce(done, 'made');
    END IF;
    IF NOT slot.active AND pg_is_in_recovery() THEN
        SELECT redo_lsn INTO redo FROM pg_control_checkpoint();
        IF redo > slot.restart_lsn THEN
            PERFORM pg_replication_slot_advance(wanted, redo);
        END IF;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION tripoint.keep_slot(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tripoint.keep_slot(text) TO tripoint;
