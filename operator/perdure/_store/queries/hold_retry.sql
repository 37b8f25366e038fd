-- Purpose: a worker has joined that has perhaps other code, or one has gone that had: let held instances that the caller can
--     run be tried at once. One that somebody has in hand is waited for, since nobody would come back to it. Not one that was
--     held as poison: the workers that it kills come back, and would be killed again.
-- Parameters: $1 names text[], $2 versions text[].
-- Locks: held instances in instance_id order.
with held as materialized (
    select i.instance_id
    from instances i
    where i.owner_id is null
        and (i.wake_at is null or i.wake_at > now())
        and i.phase = 'Suspended'
        and i.hold_reason not in ('', 'Poison')
        and (i.name, i.version) in (select o.name, o.version from unnest($1::text[], $2::text[]) as o (name, version))
    order by i.instance_id
    for update of i
)
update instances i
set wake_at = now()
from held h
where i.instance_id = h.instance_id
