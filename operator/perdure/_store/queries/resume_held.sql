-- Purpose: held instances whose history fits the code again: they run, or stand still as they were told to meanwhile.
-- Parameters: $1 owner uuid, $2 instance_ids text[].
-- Locks: instances in instance_id order.
with locked as materialized (
    select instance_id
    from instances
    where owner_id is not distinct from $1::uuid and instance_id = any($2::text[]) and hold_reason <> ''
    order by instance_id
    for update
)
update instances i
set phase = case when i.is_suspended then 'Suspended' else 'Running' end, hold_reason = '', error = null
from locked l
where i.instance_id = l.instance_id
returning i.instance_id
