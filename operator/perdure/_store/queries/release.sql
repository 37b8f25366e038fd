-- Purpose: give instances back, each with the moment when it next has something to do (null: only a message can help).
--     A message that came meanwhile has set wake_at and wins by being earlier.
-- Parameters: $1 owner uuid, $2 instance_ids text[], $3 wake_at timestamptz[].
-- Locks: instances in instance_id order.
with locked as materialized (
    select t.instance_id, t.wake_at
    from unnest($2::text[], $3::timestamptz[]) as t (instance_id, wake_at)
    join instances i on i.instance_id = t.instance_id
    where i.owner_id is not distinct from $1::uuid
    order by t.instance_id
    for update of i
)
update instances i
set owner_id = null, wake_at = least(i.wake_at, l.wake_at)
from locked l
where i.instance_id = l.instance_id
returning i.instance_id
