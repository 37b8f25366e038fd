-- Purpose: let one process bring the inventory up to date at a time, until its transaction ends.
-- Parameters: $1 the key, bigint, the same in every release (schema.LOCK_KEY).
-- Locks: the advisory lock of that key; waits as long as another process migrates.
select pg_advisory_xact_lock($1);
