-- Purpose: third step of reaping: put the queued tasks of dead workers back into their queues, at once, and count the loss
--     (I10).
-- Parameters: $1 worker_ids uuid[].
-- Locks: the tasks, in (instance_id, execution, seq) order.
with locked as materialized (
    select instance_id, execution, seq
    from tasks
    where worker_id = any($1::uuid[]) and queue is not null
    order by instance_id, execution, seq
    for update
)
update tasks t
set worker_id = null, losses = t.losses + 1
from locked l
where t.instance_id = l.instance_id and t.execution = l.execution and t.seq = l.seq
returning t.instance_id
