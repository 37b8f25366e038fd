-- Purpose: take a chunk to copy it; whoever comes second waits here, and finds it copied.
-- Parameters: $1 migration, $2 table, $3 chunk.
-- Locks: the chunk, until the end of the transaction.
select after_key, upto_key, rows
from perdure_migration
where migration_id = $1 and table_name = $2 and chunk = $3
for update;
