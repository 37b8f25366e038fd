-- Purpose: give an instance and all below it, parents before their children. Payloads above 4 KiB are left out (null).
-- Parameters: $1 instance_id, $2 how many at most.
-- Locks: none.
with recursive tree as (
    select i.instance_id, array[i.instance_id] as path
    from instances i
    where i.instance_id = $1::text
    union all
    select c.instance_id, t.path || c.instance_id
    from tree t
    join instances c on c.parent_id = t.instance_id
    where c.instance_id <> all(t.path)
)
select
    i.instance_id, i.name, i.version, i.phase, i.execution, i.hold_reason,
    case when octet_length(i.input) <= 4096 then i.input end as input,
    case when octet_length(i.output) <= 4096 then i.output end as output,
    i.error, i.custom_status,
    i.created_at, i.started_at, i.finished_at, i.parent_id, i.is_suspended, i.suspend_reason, i.buffered_signals
from tree t
join instances i on i.instance_id = t.instance_id
order by t.path
limit $2::integer
