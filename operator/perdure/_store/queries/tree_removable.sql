-- Purpose: find finished roots of trees that nothing keeps: no descendant runs, no living resource shows them. The oldest
--     first.
-- Parameters: $1 phases, $2 name, $3 version, $4 prefix of the id, $5 parent, $6 ids, created $7 at or after and $8 before,
--     finished $9 at or after and $10 before, $11 reason of the hold, $12 whether it is a root; null for all.
--     $13 seconds since it ended or null, $14 how many.
-- Locks: none. Reads instances_by_end.
select i.instance_id
from instances i
where
    ($1::text[] is null or i.phase = any($1::text[]))
    and ($2::text is null or i.name = $2::text)
    and ($3::text is null or i.version = $3::text)
    and ($4::text is null or starts_with(i.instance_id, $4::text))
    and ($5::text is null or i.parent_id = $5::text)
    and ($6::text[] is null or i.instance_id = any($6::text[]))
    and ($7::timestamptz is null or i.created_at >= $7::timestamptz)
    and ($8::timestamptz is null or i.created_at < $8::timestamptz)
    and ($9::timestamptz is null or i.finished_at >= $9::timestamptz)
    and ($10::timestamptz is null or i.finished_at < $10::timestamptz)
    and ($11::text is null or i.hold_reason = $11::text)
    and ($12::boolean is null or (i.parent_id is null) = $12::boolean)
    and i.finished_at is not null
    and ($13::float8 is null or i.finished_at < now() - make_interval(secs => $13::float8))
    and not exists (select from instances p where p.instance_id = i.parent_id)
    and not exists (select from resources r where r.instance_id = i.instance_id and r.gone_at is null)
    and not exists (
        with recursive below as (
            select c.instance_id, c.finished_at from instances c where c.parent_id = i.instance_id
            union
            select c.instance_id, c.finished_at from below b join instances c on c.parent_id = b.instance_id
        )
        select from below where below.finished_at is null
    )
order by i.finished_at
limit $14::integer
