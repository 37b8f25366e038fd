-- Purpose: cut the next rows of a table into chunks by their key; the last one may be smaller.
-- Parameters: $1 the key that the last chunk ended with (null: from the beginning), $2 rows to look at, $3 rows a chunk.
-- Names: schema, table, key, and the type of the key with its schema.
-- Locks: none.
select bounds.key::text as upto_key, (bounds.place - 1) % $3 + 1 as rows
from (
    select next.key, row_number() over (order by next.key) as place, count(*) over () as found
    from (
        select :"key" as key
        from :"schema".:"table"
        where $1::text is null or :"key" > cast($1::text as :"type_schema".:"type_name")
        order by :"key"
        limit $2::bigint
    ) as next
) as bounds
where bounds.place % $3::bigint = 0 or bounds.place = bounds.found
order by bounds.place;
