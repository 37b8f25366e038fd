-- Purpose: give what waits for a worker that is not there: by orchestration and version, how many, and when the
--     first of them can go on. An empty version is one that was never taken, and that any version can run. What only
--     waits for a message is not due, and not counted.
-- Parameters: none.
-- Locks: none. Reads instances_claimable.
with due as materialized (
    select i.name, i.version, count(*) as instances, min(i.wake_at) as due_at
    from instances i
    where i.owner_id is null and i.wake_at is not null and not i.is_suspended
    group by i.name, i.version
)
select d.name, d.version, d.instances, d.due_at
from due d
where not exists (
    select
    from workers w
    cross join unnest(w.orchestrations) as o (offered)
    where w.lease_until > now()
        and (o.offered = d.name || '@' || d.version or (d.version = '' and starts_with(o.offered, d.name || '@')))
)
order by d.name, d.version
