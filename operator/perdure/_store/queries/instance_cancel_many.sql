-- Purpose: ask for the end of a page of instances, as instance_cancel does for one. Gives the ids of the page.
-- Parameters: $1 phases, $2 name, $3 version, $4 prefix of the id, $5 parent, $6 ids, created $7 at or after and $8 before,
--     finished $9 at or after and $10 before, $11 reason of the hold, $12 whether it is a root; null for all.
--     $13 id after which the page begins, $14 size, $15 payload of the message.
-- Locks: instances in instance_id order, then the new inbox rows.
with locked as materialized (
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
        and i.instance_id > $13::text
        and i.finished_at is null
    order by i.instance_id
    limit $14::integer
    for update
),
woken as (
    update instances i
    set
        wake_at = now(),
        is_suspended = false,
        suspend_reason = '',
        phase = case
            when not i.is_suspended or i.hold_reason <> '' then i.phase
            when i.turn = 0 then 'Pending'
            else 'Running'
        end
    where i.instance_id = any((select array_agg(l.instance_id) from locked l)::text[])
),
sent as (
    insert into inbox (instance_id, kind, payload, dedupe_key)
    select l.instance_id, 'Cancel', $15::bytea, 'cancel' from locked l
    order by l.instance_id
    on conflict (instance_id, dedupe_key) where dedupe_key is not null do nothing
)
select
    l.instance_id,
    case when l.instance_id = first_value(l.instance_id) over () then pg_notify('perdure_wake', '') end
from locked l
order by l.instance_id
