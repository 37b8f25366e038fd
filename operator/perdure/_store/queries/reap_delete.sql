-- Purpose: last step of reaping: forget the dead workers; then wake the living, once.
-- Parameters: $1 worker_ids uuid[].
-- Locks: the workers' rows, held since reap_lock.
with gone as (
    delete from workers where worker_id = any($1::uuid[]) returning worker_id
)
select pg_notify('perdure_wake', '') from (select count(*) from gone) counted
