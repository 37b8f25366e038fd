-- Purpose: show the queues that have limits, tasks or somebody who serves them. What waits for its next attempt counts as
--   waiting, and is as old as the time since that attempt is due.
-- Parameters: none.
-- Locks: none.
with waiting as (
    select queue, count(*) as size, min(visible_at) filter (where visible_at <= now()) as oldest_at
    from tasks
    where queue is not null and worker_id is null
    group by queue
),
running as (
    select queue, count(*) as size from tasks where queue is not null and worker_id is not null group by queue
),
served as (
    select s.queue, count(*) as workers
    from workers w
    cross join unnest(w.queues) as s (queue)
    where w.lease_until >= now()
    group by s.queue
)
select
    n.queue,
    coalesce(w.size, 0) as waiting,
    coalesce(r.size, 0) as running,
    extract(epoch from now() - w.oldest_at)::float8 as oldest_seconds,
    q.max_running,
    q.per_second,
    coalesce(s.workers, 0) as workers
from (
    select queue from queues union select queue from waiting union select queue from running union select queue from served
) n
left join queues q using (queue)
left join waiting w using (queue)
left join running r using (queue)
left join served s using (queue)
order by n.queue
