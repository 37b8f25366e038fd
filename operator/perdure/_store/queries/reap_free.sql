-- Purpose: second step of reaping: make the instances of dead workers claimable at once.
-- Parameters: $1 worker_ids uuid[].
-- Locks: the instances, in instance_id order.
with locked as materialized (
    select instance_id
    from instances
    where owner_id = any($1::uuid[])
    order by instance_id
    for update
)
update instances i
set owner_id = null, wake_at = now(), recoveries = i.recoveries + 1
from locked l
where i.instance_id = l.instance_id
returning i.instance_id
