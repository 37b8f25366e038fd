-- Purpose: let one process migrate at a time, until its transaction ends; works through a transaction pooler too.
-- Parameters: $1 the key, bigint, the same in every release (migrate.LOCK_KEY).
-- Locks: the advisory lock of that key; waits as long as another process migrates.
select pg_advisory_xact_lock($1);
