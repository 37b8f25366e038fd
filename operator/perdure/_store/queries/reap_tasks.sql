-- Purpose: third step of reaping: put the tasks of dead workers back, at once, and count the death against those that it may
--     be blamed on (I10): those on trial, and a lone one is convicted; without any trial, all that came from a queue.
-- Parameters: $1 worker_ids uuid[].
-- Locks: the tasks, in (instance_id, execution, seq) order.
with locked as materialized (
    select instance_id, execution, seq, worker_id, on_trial
    from tasks
    where worker_id = any($1::uuid[])
    order by instance_id, execution, seq
    for update
),
dead as materialized (
    select
        w.worker_id,
        cardinality(w.trying) + (select count(*) from locked l where l.worker_id = w.worker_id and l.on_trial) as tried
    from workers w
    where w.worker_id = any($1::uuid[])
)
update tasks t
set
    worker_id = null,
    on_trial = false,
    losses = t.losses + (l.on_trial or d.tried = 0)::integer,
    convictions = t.convictions + (l.on_trial and d.tried = 1)::integer
from locked l
join dead d on d.worker_id = l.worker_id
where t.instance_id = l.instance_id and t.execution = l.execution and t.seq = l.seq
returning t.instance_id
