-- Purpose: note the chunks that were planned, each from where the one before it ends.
-- Parameters: $1 migration, $2 table, $3 number of the last chunk before, $4 its last key, $5 last keys, $6 rows.
-- Locks: the new rows.
insert into perdure_migration (migration_id, table_name, chunk, after_key, upto_key, planned_rows)
select $1, $2, $3::integer + place, coalesce(lag(upto_key) over (order by place), $4), upto_key, planned_rows
from unnest($5::text[], $6::bigint[]) with ordinality as planned (upto_key, planned_rows, place);
