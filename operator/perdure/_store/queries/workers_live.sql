-- Purpose: give the workers that live, the oldest first.
-- Parameters: none.
-- Locks: none.
select description, started_at, has_cluster, cardinality(orchestrations) as offered, queues
from workers
where lease_until > now()
order by started_at, worker_id
