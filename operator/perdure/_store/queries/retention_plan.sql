-- Purpose: write down when finished runs that have an age of their own are to be removed.
-- Parameters: $1 how many.
-- Locks: instances, skipping locked ones.
with ended as materialized (
    select instance_id, finished_at, retention_seconds
    from instances
    where finished_at is not null and retention_seconds is not null and remove_at is null
    order by finished_at
    limit $1::integer
    for update skip locked
)
update instances i
set remove_at = e.finished_at + make_interval(secs => e.retention_seconds)
from ended e
where i.instance_id = e.instance_id
