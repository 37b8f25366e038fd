-- Purpose: give tasks back to their queues, all that this worker holds but those that it names; the attempts do not count.
--     So what was taken by a claim whose answer was lost goes back as well. Wakes the others, once.
-- Parameters: $1 worker_id uuid; then one array element a task that it keeps: $2 instance_id, $3 execution, $4 seq.
-- Locks: the tasks, in (instance_id, execution, seq) order.
with mine as materialized (
    select t.instance_id, t.execution, t.seq from tasks t where t.worker_id = $1::uuid and t.queue is not null
),
held as materialized (
    select m.instance_id, m.execution, m.seq
    from mine m
    where not exists (
        select from unnest($2::text[], $3::integer[], $4::integer[]) as k (instance_id, execution, seq)
        where k.instance_id = m.instance_id and k.execution = m.execution and k.seq = m.seq
    )
),
locked as materialized (
    select t.instance_id, t.execution, t.seq
    from tasks t
    where t.instance_id = any(array(select h.instance_id from held h))
        and t.execution = any(array(select h.execution from held h))
        and t.seq = any(array(select h.seq from held h))
        and t.worker_id = $1::uuid
        and (t.instance_id, t.execution, t.seq) in (select h.instance_id, h.execution, h.seq from held h)
    order by t.instance_id, t.execution, t.seq
    for update of t
),
freed as (
    update tasks t
    set worker_id = null, on_trial = false
    from locked l
    where t.instance_id = any(array(select h.instance_id from held h))
        and t.execution = any(array(select h.execution from held h))
        and t.seq = any(array(select h.seq from held h))
        and t.instance_id = l.instance_id and t.execution = l.execution and t.seq = l.seq
    returning t.instance_id
)
select pg_notify('perdure_wake', '') from (select count(*) as count from freed) f where f.count > 0
