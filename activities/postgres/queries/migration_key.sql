-- Purpose: say which columns of a key a table has, whether they tell its rows apart, and how many rows the statistics
--     know of.
-- Parameters: $1 schema, $2 table, $3 columns text[].
-- Locks: none.
select
    greatest(tables.reltuples, 0)::bigint as estimated_rows,
    keys.names,
    keys.are_never_null and exists (
        select from pg_index as indexes
        where indexes.indrelid = tables.oid
            and indexes.indisunique and indexes.indisvalid and indexes.indimmediate and indexes.indpred is null
            and keys.numbers = array(
                select attnum
                from unnest(indexes.indkey[0:indexes.indnkeyatts - 1]) as attnum
                order by attnum
            )
    ) as is_key
from pg_class as tables
join pg_namespace as schemas on schemas.oid = tables.relnamespace
cross join lateral (
    select
        array_agg(columns.attname::text) as names,
        array_agg(columns.attnum order by columns.attnum) as numbers,
        bool_and(columns.attnotnull) as are_never_null
    from pg_attribute as columns
    where columns.attrelid = tables.oid and columns.attname = any($3::text[])
        and columns.attnum > 0 and not columns.attisdropped
) as keys
where schemas.nspname = $1 and tables.relname = $2 and tables.relkind in ('r', 'p');
