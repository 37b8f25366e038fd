-- Purpose: renew a worker's lease; tell it the time, whether it still exists, whether somebody's lease has ended,
--     whether something waits in a queue that it serves (so that serving queues takes no poll of its own), and when the
--     next deadline of an instance is.
-- Parameters: $1 worker_id uuid, $2 lease in seconds.
-- Locks: the worker's own row.
with renewed as (
    update workers
    set lease_until = now() + make_interval(secs => $2::float8)
    where worker_id = $1::uuid
    returning queues, has_cluster
)
select
    clock_timestamp() as now,
    exists (select from renewed) as is_alive,
    exists (select from workers where lease_until < now() and worker_id <> $1::uuid) as has_dead,
    exists (
        select
        from renewed r
        cross join lateral (
            select from tasks t
            where t.queue = any(r.queues) and t.worker_id is null and t.visible_at <= now()
                and (t.run_as = '' or r.has_cluster)
            limit 1
        ) waiting
    ) as has_tasks,
    (
        select i.deadline_at
        from instances i
        where i.deadline_at is not null and i.finished_at is null
        order by i.deadline_at
        limit 1
    ) as next_deadline
