-- Purpose: renew a worker's lease; tell it the time, whether it still exists, and whether somebody's lease has ended.
-- Parameters: $1 worker_id uuid, $2 lease in seconds.
-- Locks: the worker's own row.
with renewed as (
    update workers
    set lease_until = now() + make_interval(secs => $2::float8)
    where worker_id = $1::uuid
    returning worker_id
)
select
    clock_timestamp() as now,
    exists (select from renewed) as is_alive,
    exists (select from workers where lease_until < now() and worker_id <> $1::uuid) as has_dead
