-- Purpose: give what waits for a worker that is not there: by orchestration and version, how many, and when the
--     first of them can go on. An empty version is one that was never taken, and that any version can run. What only
--     waits for a message is not due, and not counted. Runs of resources wait for a worker that has a cluster.
-- Parameters: none.
-- Locks: none. Reads instances_claimable.
with due as materialized (
    select i.name, i.version, i.run_as <> '' as needs_cluster, count(*) as instances, min(i.wake_at) as due_at
    from instances i
    where i.owner_id is null and i.wake_at is not null and not i.is_suspended
    group by i.name, i.version, needs_cluster
)
select d.name, d.version, sum(d.instances)::bigint as instances, min(d.due_at) as due_at
from due d
where not exists (
    select
    from workers w
    cross join unnest(w.orchestrations) as o (offered)
    where w.lease_until > now()
        and (w.has_cluster or not d.needs_cluster)
        and (o.offered = d.name || '@' || d.version or (d.version = '' and starts_with(o.offered, d.name || '@')))
)
group by d.name, d.version
order by d.name, d.version
