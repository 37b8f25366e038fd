-- Purpose: second step of leaving: give back what a claim took whose answer nobody waited for. It was never worked on, so
--     it is no recovery.
-- Parameters: $1 worker_id uuid.
-- Locks: the instances, in instance_id order.
with locked as materialized (
    select instance_id
    from instances
    where owner_id = $1::uuid
    order by instance_id
    for update
)
update instances i
set owner_id = null, wake_at = now()
from locked l
where i.instance_id = l.instance_id
returning i.instance_id
