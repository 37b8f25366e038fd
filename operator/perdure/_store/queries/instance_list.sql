-- Purpose: one page of instances in instance_id order. Payloads above 4 KiB are left out (null): a page is bounded.
-- Parameters: $1 phases, $2 name, $3 version, $4 prefix of the id, $5 parent, $6 ids, created $7 at or after and $8 before,
--     finished $9 at or after and $10 before, $11 reason of the hold, $12 whether it is a root; null for all.
--     $13 id after which the page begins, $14 size.
-- Locks: none.
select
    i.instance_id, i.name, i.version, i.phase, i.execution, i.hold_reason,
    case when octet_length(i.input) <= 4096 then i.input end as input,
    case when octet_length(i.output) <= 4096 then i.output end as output,
    i.error, i.custom_status,
    i.created_at, i.started_at, i.finished_at, i.parent_id, i.is_suspended, i.suspend_reason, i.buffered_signals
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
order by i.instance_id
limit $14::integer
