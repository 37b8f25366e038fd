-- Purpose: give the executions of an instance whose history is there, with when each began and last moved.
-- Parameters: $1 instance_id.
-- Locks: none.
select
    h.execution,
    count(*)::integer as turns,
    min(h.at) as started_at,
    max(h.at) as moved_at,
    h.execution = i.execution as is_current,
    i.phase,
    i.finished_at is not null as is_finished
from instances i
join history h on h.instance_id = i.instance_id
where i.instance_id = $1::text
group by h.execution, i.execution, i.phase, i.finished_at
order by h.execution
