-- Purpose: find among activities that wait on their owners for their next attempts those whose time has come: somebody
--     may have brought it forward.
-- Parameters: $1 instance_ids text[], $2 executions integer[].
-- Locks: none.
select t.instance_id, t.seq, t.failed_attempts
from unnest($1::text[], $2::integer[]) as k (instance_id, execution)
join tasks t on t.instance_id = k.instance_id and t.execution = k.execution
where t.instance_id = any($1::text[]) -- found by key, also by a plan that was made while the table was empty
    and t.queue is null and t.failed_attempts > 0 and t.visible_at <= now()
