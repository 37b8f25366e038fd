-- Purpose: name the columns of a table that can be written, in their order.
-- Parameters: $1 schema, $2 table.
-- Locks: none.
select columns.attname as name
from pg_class as tables
join pg_namespace as schemas on schemas.oid = tables.relnamespace
join pg_attribute as columns on columns.attrelid = tables.oid
where schemas.nspname = $1 and tables.relname = $2 and tables.relkind in ('r', 'p')
  and columns.attnum > 0 and not columns.attisdropped and columns.attgenerated = ''
order by columns.attnum;
