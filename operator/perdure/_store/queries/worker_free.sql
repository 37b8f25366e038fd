-- Purpose: second step of leaving: give back what a claim took whose answer nobody waited for. It was never worked on, so
--     it is no recovery. And nothing is on trial here any more.
-- Parameters: $1 worker_id uuid.
-- Locks: the instances, in instance_id order, then the tasks on trial, in (instance_id, execution, seq) order.
with locked as materialized (
    select instance_id
    from instances
    where owner_id = $1::uuid
    order by instance_id
    for update
),
tried as materialized (
    select instance_id, execution, seq
    from tasks
    where worker_id = $1::uuid and queue is null
    order by instance_id, execution, seq
    for update
),
acquitted as (
    update tasks t
    set worker_id = null, on_trial = false
    from tried l
    where t.instance_id = l.instance_id and t.execution = l.execution and t.seq = l.seq
)
update instances i
set owner_id = null, wake_at = now()
from locked l
where i.instance_id = l.instance_id
returning i.instance_id
