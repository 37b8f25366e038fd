-- Purpose: while tasks run here: write what their heartbeats said last, and tell which are still this worker's. One that
--     is not was cancelled, or its instance is over or deleted, or somebody else has it.
-- Parameters: $1 worker_id uuid; then one array element a task with something new: $2 instance_id, $3 execution, $4 seq,
--     $5 claims, $6 asked_at, $7 detail.
-- Locks: the tasks with something new, in (instance_id, execution, seq) order.
with locked as materialized (
    select t.instance_id, t.execution, t.seq, s.detail
    from unnest($2::text[], $3::integer[], $4::integer[], $5::integer[], $6::timestamptz[], $7::bytea[])
        as s (instance_id, execution, seq, claims, asked_at, detail)
    join tasks t on t.instance_id = s.instance_id and t.execution = s.execution and t.seq = s.seq
    where t.instance_id = any($2::text[]) and t.execution = any($3::integer[]) and t.seq = any($4::integer[])
        and t.worker_id = $1::uuid and t.claims = s.claims and t.asked_at = s.asked_at
    order by t.instance_id, t.execution, t.seq
    for update of t
),
noted as (
    update tasks t
    set detail = l.detail
    from locked l
    where t.instance_id = any($2::text[]) and t.execution = any($3::integer[]) and t.seq = any($4::integer[])
        and t.instance_id = l.instance_id and t.execution = l.execution and t.seq = l.seq
)
select t.instance_id, t.execution, t.seq, t.claims, t.asked_at
from tasks t
where t.worker_id = $1::uuid and t.queue is not null
