-- Purpose: third step of reaping: put the queued tasks of dead workers back into their queues, at once, and count the loss
--     (I10).
-- Parameters: $1 worker_ids uuid[].
-- Locks: the tasks, in (instance_id, execution, seq) order.
with held as materialized (
    select instance_id, execution, seq from tasks where worker_id = any($1::uuid[]) and queue is not null
),
locked as materialized (
    select t.instance_id, t.execution, t.seq
    from tasks t
    where t.instance_id = any(array(select h.instance_id from held h))
        and t.execution = any(array(select h.execution from held h))
        and t.seq = any(array(select h.seq from held h))
        and t.worker_id = any($1::uuid[]) and t.queue is not null
    order by t.instance_id, t.execution, t.seq
    for update
)
update tasks t
set worker_id = null, losses = t.losses + 1
from locked l
where t.instance_id = any(array(select h.instance_id from held h))
    and t.execution = any(array(select h.execution from held h))
    and t.seq = any(array(select h.seq from held h))
    and t.instance_id = l.instance_id and t.execution = l.execution and t.seq = l.seq
returning t.instance_id
