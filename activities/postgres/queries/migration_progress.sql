-- Purpose: say how far a table is: rows copied, the last chunk that is planned, and the key it ends with.
-- Parameters: $1 migration, $2 table.
-- Locks: none.
select
    coalesce(sum(rows), 0)::bigint as copied_rows,
    coalesce(max(chunk), 0) as last_chunk,
    (array_agg(upto_key order by chunk desc))[1] as upto_key
from perdure_migration
where migration_id = $1 and table_name = $2;
