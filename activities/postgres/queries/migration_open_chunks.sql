-- Purpose: give chunks that are planned and not copied, the first ones first.
-- Parameters: $1 migration, $2 table, $3 how many at most.
-- Locks: none.
select chunk, planned_rows
from perdure_migration
where migration_id = $1 and table_name = $2 and rows is null
order by chunk
limit $3;
