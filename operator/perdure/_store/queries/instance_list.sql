-- Purpose: one page of instances in instance_id order. Payloads above 4 KiB are left out (null): a page is bounded.
-- Parameters: $1 phase or null, $2 name or null, $3 prefix of the id or null, $4 id after which the page begins, $5 size.
-- Locks: none.
select
    instance_id, name, version, phase, execution, hold_reason,
    case when octet_length(input) <= 4096 then input end as input,
    case when octet_length(output) <= 4096 then output end as output,
    error, custom_status,
    created_at, started_at, finished_at, parent_id, is_suspended, suspend_reason, buffered_signals
from instances
where ($1::text is null or phase = $1::text)
    and ($2::text is null or name = $2::text)
    and ($3::text is null or starts_with(instance_id, $3::text))
    and instance_id > $4::text
order by instance_id
limit $5::integer
