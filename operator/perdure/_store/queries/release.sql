-- Purpose: give instances back, each with the moment when it next has something to do (null: only a message can help).
--     A message that came meanwhile has set wake_at and wins by being earlier; one that was noted but not taken in is
--     still in the inbox, and is something to do now. Who was given back has outlived its owner: no recoveries.
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
set
    owner_id = null,
    recoveries = 0,
    wake_at = case
        when exists (select from inbox m where m.instance_id = i.instance_id) then now()
        else least(i.wake_at, l.wake_at)
    end
from locked l
where i.instance_id = l.instance_id
returning i.instance_id
