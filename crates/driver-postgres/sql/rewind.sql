-- The role that pg_rewind of a returning site reads this primary's files as. Run as a superuser on
-- the primary, in the database that `rewind_conninfo` names (rights on functions are a database's
-- own); run again it changes nothing. It may read every file of the data directory, and no more:
-- let it in from the other sites alone (pg_hba.conf), with a password of its own.
--
-- Not needed where `primary_conninfo` logs in as a superuser, or where base backups alone will do.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tripoint_rewind') THEN
        CREATE ROLE tripoint_rewind LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
    -- Since 15. Right after a promotion pg_rewind needs a checkpoint to see the new timeline; without
    -- this right it is waited for, some minutes.
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pg_checkpoint') THEN
        GRANT pg_checkpoint TO tripoint_rewind;
    END IF;
END
$$;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO tripoint_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean) TO tripoint_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO tripoint_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO tripoint_rewind;
