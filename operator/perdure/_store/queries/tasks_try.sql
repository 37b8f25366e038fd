-- Purpose: put tasks on trial, and nobody else: whoever of this worker was is acquitted. If this worker dies now, it
--     is of those that are. Local ones are marked where their instance is this worker's, queued ones where their claim is.
-- Parameters: $1 worker_id uuid; then one array element a task: $2 instance_id, $3 execution, $4 seq, $5 claims (of local
--     ones 0).
-- Locks: own worker row (key share), then the tasks, in (instance_id, execution, seq) order.
with me as materialized (
    select worker_id from workers where worker_id = $1::uuid for key share
),
given as materialized (
    select g.instance_id, g.execution, g.seq, g.claims
    from unnest($2::text[], $3::integer[], $4::integer[], $5::integer[]) as g (instance_id, execution, seq, claims)
),
concerned as materialized (
    select g.instance_id, g.execution, g.seq from given g
    union
    select t.instance_id, t.execution, t.seq from tasks t where t.worker_id = $1::uuid and t.on_trial
),
locked as materialized (
    select t.instance_id, t.execution, t.seq, t.queue, t.worker_id, t.on_trial, g.claims is not null and case
        when t.queue is null then exists (
            select from instances i
            where i.instance_id = t.instance_id and i.execution = t.execution and i.owner_id = $1::uuid
        )
        else t.worker_id = $1::uuid and t.claims = g.claims
    end as is_tried
    from concerned c
    join tasks t on t.instance_id = c.instance_id and t.execution = c.execution and t.seq = c.seq
    left join given g on g.instance_id = t.instance_id and g.execution = t.execution and g.seq = t.seq
    where exists (select from me)
    order by t.instance_id, t.execution, t.seq
    for update of t
),
marked as (
    update tasks t
    set
        on_trial = l.is_tried,
        worker_id = case when l.is_tried then $1::uuid when l.queue is null then null else t.worker_id end,
        trials = t.trials + l.is_tried::integer,
        convictions = case when l.is_tried then t.convictions else 0 end
    from locked l
    where t.instance_id = l.instance_id and t.execution = l.execution and t.seq = l.seq
        and (l.is_tried or (l.worker_id = $1::uuid and l.on_trial))
    returning t.instance_id, t.execution, t.seq, t.on_trial
)
select instance_id, execution, seq from marked where on_trial
