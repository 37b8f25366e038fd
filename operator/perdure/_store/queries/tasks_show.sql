-- Purpose: show what is known of the activities of an instance that are under way: the attempts that failed, when the next
--     is made (null when it is being made, or is due), and for a queued one who runs it and how many could.
-- Parameters: $1 instance_id.
-- Locks: none.
select
    t.seq,
    t.failed_attempts,
    t.last_error,
    case when t.visible_at > now() and t.worker_id is null then t.visible_at end as next_attempt_at,
    coalesce(t.queue, '') as queue,
    coalesce(w.description, '') as worker,
    case when t.queue is null then 0 else (
        select count(*) from workers s where s.lease_until >= now() and t.queue = any(s.queues)
    ) end as servers
from instances i
join tasks t on t.instance_id = i.instance_id and t.execution = i.execution
left join workers w on w.worker_id = t.worker_id and t.queue is not null
where i.instance_id = $1::text and t.instance_id = $1::text
order by t.seq
