-- Purpose: lock the runs of resources, and give them as they are once they are locked: nobody changes them before the
--     transaction ends.
-- Parameters: $1 instance_ids.
-- Locks: instances in instance_id order.
select
    instance_id, resource_uid, phase, turn, owner_id is not null as is_owned, is_suspended, suspend_reason, hold_reason,
    on_nondeterminism, retention_seconds, finished_at
from instances
where instance_id = any($1::text[])
order by instance_id
for update
