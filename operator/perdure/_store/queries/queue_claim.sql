-- Purpose: take waiting tasks of the queues that a worker serves, the highest priority first, as many as it has slots
--     and as the limits of the queues allow over all workers; and say when to look again. A limit is exact: its row is
--     locked, and a claim whose snapshot is older than the lock (somebody took from the queue meanwhile, and `started`
--     differs) takes nothing of that queue and looks again at once. What is peeked at is shared out first (quota),
--     so that no more rows are locked than are taken, and nobody else misses the others. A queue without a row has no
--     limits. Tokens gather at per_second, up to those of one second and at least one. A worker without a cluster leaves
--     the tasks of runs of resources alone. When they were claimed is said as it is.
-- Parameters: $1 worker_id uuid, $2 queues text[], $3 activities text[], $4 is_async boolean[] (one an activity),
--     $5 is_async boolean[], $6 slots integer[] (one a kind of slot).
-- Locks: own worker row (key share), then limited queues that have something to do, in their order, then tasks, skipping
--     locked ones.
with me as materialized (
    select worker_id, has_cluster from workers where worker_id = $1::uuid for key share
),
offered as materialized (
    select * from unnest($3::text[], $4::boolean[]) as o (activity, is_async)
),
seen as materialized (
    select queue, started from queues where queue = any($2::text[])
),
locked as materialized (
    select q.queue, q.max_running, q.per_second, q.tokens, q.refilled_at, q.started
    from queues q
    cross join lateral (
        select from tasks t
        where t.queue = q.queue and t.worker_id is null and t.visible_at <= now()
            and (t.run_as = '' or (select has_cluster from me))
            and t.activity in (select activity from offered)
        limit 1
    ) something_to_do
    where q.queue = any($2::text[]) and exists (select from me)
    order by q.queue
    for update of q
),
limited as materialized (
    select
        l.queue,
        l.started,
        l.per_second,
        greatest(c.at, l.refilled_at) as refilled_at,
        case when l.per_second is not null then least(
            greatest(l.per_second, 1),
            l.tokens + l.per_second * greatest(0, extract(epoch from c.at - l.refilled_at))
        ) end as tokens,
        l.max_running - (
            select count(*) from tasks t where t.queue = l.queue and t.worker_id is not null
        ) as places
    from locked l
    join seen s on s.queue = l.queue and s.started = l.started
    cross join (select clock_timestamp() as at) c
),
room as materialized (
    select q.queue, k.is_async, k.slots, least(l.places, floor(l.tokens), 1000000)::integer as room
    from unnest($2::text[]) as q (queue)
    cross join unnest($5::boolean[], $6::integer[]) as k (is_async, slots)
    left join limited l on l.queue = q.queue
    where (l.queue is not null or not exists (select from seen s where s.queue = q.queue))
        and exists (select from me)
),
peeked as (
    select
        r.queue,
        r.is_async,
        r.room,
        r.slots,
        row_number() over (partition by r.queue order by t.priority desc, t.visible_at) as nth_of_queue,
        row_number() over (partition by r.is_async order by t.priority desc, t.visible_at) as nth_of_kind
    from room r
    cross join lateral (
        select t.priority, t.visible_at
        from tasks t
        where t.queue = r.queue and t.worker_id is null and t.visible_at <= now()
            and (t.run_as = '' or (select has_cluster from me))
            and t.activity in (select o.activity from offered o where o.is_async = r.is_async)
        order by t.priority desc, t.visible_at
        limit greatest(0, least(r.room, r.slots))
    ) t
),
quota as materialized (
    select queue, is_async, count(*) as size
    from peeked
    where nth_of_queue <= room and nth_of_kind <= slots
    group by queue, is_async
),
picked as materialized (
    select t.instance_id, t.execution, t.seq
    from quota q
    cross join lateral (
        select t.instance_id, t.execution, t.seq
        from tasks t
        where t.queue = q.queue and t.worker_id is null and t.visible_at <= now()
            and (t.run_as = '' or (select has_cluster from me))
            and t.activity in (select o.activity from offered o where o.is_async = q.is_async)
        order by t.priority desc, t.visible_at
        limit q.size
        for update skip locked
    ) t
),
claimed as (
    update tasks t
    set worker_id = $1::uuid, claims = t.claims + 1
    from picked p
    where t.instance_id = any(array(select k.instance_id from picked k))
        and t.execution = any(array(select k.execution from picked k))
        and t.seq = any(array(select k.seq from picked k))
        and t.instance_id = p.instance_id and t.execution = p.execution and t.seq = p.seq
    returning
        t.instance_id, t.execution, t.seq, t.queue, t.activity, t.command, t.orchestration, t.run_as, t.asked_at,
        t.failed_attempts, t.losses, t.convictions, t.trials, t.claims, t.detail
),
taken as materialized (
    select l.queue, l.tokens, l.per_second, l.refilled_at, (select count(*) from claimed c where c.queue = l.queue) as size
    from limited l
),
counted as (
    update queues q
    set
        started = q.started + t.size,
        tokens = coalesce(t.tokens - t.size, q.tokens),
        refilled_at = t.refilled_at
    from taken t
    where q.queue = t.queue and t.size > 0
),
again as (
    select min(seconds) as seconds
    from (
        select 0 as seconds
        from locked l
        where not exists (select from limited m where m.queue = l.queue)
        union all
        select (1 - (t.tokens - t.size)) / t.per_second from taken t where t.tokens - t.size < 1
    ) whys
)
select a.seconds as again_seconds, clock_timestamp() as claimed_at, c.* from again a left join claimed c on true
