-- Purpose: note that a chunk is copied, in the transaction that copied it.
-- Parameters: $1 migration, $2 table, $3 chunk, $4 its rows.
-- Locks: the chunk, which is taken.
update perdure_migration
set rows = $4, copied_at = now()
where migration_id = $1 and table_name = $2 and chunk = $3;
