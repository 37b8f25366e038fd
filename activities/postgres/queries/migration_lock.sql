-- Purpose: one plan at a time, of whatever migration into this database; until the end of the transaction.
-- Parameters: none.
-- Locks: an advisory lock of its own.
select pg_advisory_xact_lock(hashtext('perdure_migration'));
