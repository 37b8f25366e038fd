-- Purpose: cut the next rows of a table into chunks by their key; the last one may be smaller.
-- Parameters: $1 the key that the last chunk ended with, a JSON object (null: from the beginning), $2 rows to look at,
--     $3 rows a chunk.
-- Names: schema, table, key (its columns).
-- Locks: none.
select perdure_bounds.upto_key, (perdure_bounds.place - 1) % $3 + 1 as rows
from (
    select
        row_to_json(perdure_next)::text as upto_key,
        row_number() over (order by :"key") as place,
        count(*) over () as found
    from (
        select :"key"
        from :"schema".:"table"
        where $1::text is null
            or (:"key") > (select :"key" from json_populate_record(cast(null as :"schema".:"table"), $1::json))
        order by :"key"
        limit $2::bigint
    ) as perdure_next
) as perdure_bounds
where perdure_bounds.place % $3::bigint = 0 or perdure_bounds.place = perdure_bounds.found
order by perdure_bounds.place;
