-- Purpose: name the sequences that the columns of a table take their values from: identities, and those of defaults.
-- Parameters: $1 schema, $2 table.
-- Locks: none.
select columns.attname as name, sequence_schemas.nspname as schema, sequences.relname as sequence
from pg_class as tables
join pg_namespace as schemas on schemas.oid = tables.relnamespace
join pg_attribute as columns on columns.attrelid = tables.oid and columns.attnum > 0 and not columns.attisdropped
cross join lateral (
    select owned.objid as sequence_id
    from pg_depend as owned
    where owned.classid = 'pg_class'::regclass and owned.deptype = 'i'
        and owned.refclassid = 'pg_class'::regclass and owned.refobjid = tables.oid and owned.refobjsubid = columns.attnum
    union
    select used.refobjid
    from pg_attrdef as defaults
    join pg_depend as used on used.classid = 'pg_attrdef'::regclass and used.objid = defaults.oid
    where defaults.adrelid = tables.oid and defaults.adnum = columns.attnum and used.refclassid = 'pg_class'::regclass
) as sources
join pg_class as sequences on sequences.oid = sources.sequence_id and sequences.relkind = 'S'
join pg_namespace as sequence_schemas on sequence_schemas.oid = sequences.relnamespace
where schemas.nspname = $1 and tables.relname = $2 and tables.relkind in ('r', 'p')
order by columns.attnum, sequence_schemas.nspname, sequences.relname;
