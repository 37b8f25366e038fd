-- Purpose: read the rows of a chunk.
-- Parameters: $1 the key before it, a JSON object (null: from the beginning), $2 its last key.
-- Names: columns, schema, table, key (its columns).
-- Locks: none.
select :"columns"
from :"schema".:"table"
where (
        $1::text is null
        or (:"key") > (select :"key" from json_populate_record(cast(null as :"schema".:"table"), $1::json))
    )
    and (:"key") <= (select :"key" from json_populate_record(cast(null as :"schema".:"table"), $2::json))
