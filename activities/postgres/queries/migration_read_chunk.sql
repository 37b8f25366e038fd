-- Purpose: read the rows of a chunk.
-- Parameters: $1 the key before it (null: from the beginning), $2 its last key.
-- Names: columns, schema, table, key, and the type of the key with its schema.
-- Locks: none.
select :"columns"
from :"schema".:"table"
where ($1::text is null or :"key" > cast($1::text as :"type_schema".:"type_name"))
  and :"key" <= cast($2::text as :"type_schema".:"type_name")
