-- Purpose: say what the key of a table is, and how many rows the statistics know of.
-- Parameters: $1 schema, $2 table, $3 column.
-- Locks: none.
select
    types.typname as type_name,
    type_schemas.nspname as type_schema,
    greatest(tables.reltuples, 0)::bigint as estimated_rows,
    columns.attnotnull and exists (
        select from pg_index as indexes
        where indexes.indrelid = tables.oid
          and indexes.indisunique and indexes.indisvalid and indexes.indimmediate
          and indexes.indpred is null and indexes.indnkeyatts = 1 and indexes.indkey[0] = columns.attnum
    ) as is_key
from pg_class as tables
join pg_namespace as schemas on schemas.oid = tables.relnamespace
join pg_attribute as columns on columns.attrelid = tables.oid
join pg_type as types on types.oid = columns.atttypid
join pg_namespace as type_schemas on type_schemas.oid = types.typnamespace
where schemas.nspname = $1 and tables.relname = $2 and tables.relkind in ('r', 'p')
  and columns.attname = $3 and columns.attnum > 0 and not columns.attisdropped;
