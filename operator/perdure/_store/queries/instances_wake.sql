-- Purpose: wake instances that got a message from a commit which could not see them, since somebody else was starting them
--     at that moment; or whose mark was taken by an owner that no longer works on them. Gives those that are woken, and
--     who owns them.
-- Parameters: $1 instance_ids text[].
-- Locks: the instances in instance_id order.
with locked as materialized (
    select instance_id
    from instances
    where instance_id = any($1::text[]) and finished_at is null
    order by instance_id
    for update
)
update instances i
set wake_at = now()
from locked l
where i.instance_id = l.instance_id
returning i.instance_id, i.owner_id
