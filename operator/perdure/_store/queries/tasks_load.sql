-- Purpose: read what is known of activities that were found pending.
-- Parameters: $1 instance_ids text[], $2 executions integer[].
-- Locks: none.
select t.instance_id, t.seq, t.failed_attempts, t.losses, t.convictions, t.trials, t.visible_at, t.last_error, t.detail
from unnest($1::text[], $2::integer[]) as k (instance_id, execution)
join tasks t on t.instance_id = k.instance_id and t.execution = k.execution
where t.instance_id = any($1::text[]) -- found by key, also by a plan that was made while the table was empty
