-- Purpose: put tasks whose attempt failed back into their queue until it is time for the next, which may be made elsewhere.
--     An attempt that came to its end has killed nobody: the suspicion ends.
-- Parameters: $1 worker_id uuid; then one array element a task: $2 instance_id, $3 execution, $4 seq, $5 claims,
--     $6 asked_at, $7 failed_attempts, $8 delay until the next attempt in seconds, $9 last_error, $10 detail.
-- Locks: tasks in (instance_id, execution, seq) order.
with locked as materialized (
    select t.instance_id, t.execution, t.seq, f.failed_attempts, f.delay_seconds, f.last_error, f.detail
    from unnest(
        $2::text[], $3::integer[], $4::integer[], $5::integer[], $6::timestamptz[],
        $7::integer[], $8::float8[], $9::bytea[], $10::bytea[]
    ) as f (instance_id, execution, seq, claims, asked_at, failed_attempts, delay_seconds, last_error, detail)
    join tasks t on t.instance_id = f.instance_id and t.execution = f.execution and t.seq = f.seq
    where t.instance_id = any($2::text[]) and t.execution = any($3::integer[]) and t.seq = any($4::integer[])
        and t.worker_id = $1::uuid and t.claims = f.claims and t.asked_at = f.asked_at
    order by t.instance_id, t.execution, t.seq
    for update of t
)
update tasks t
set
    worker_id = null,
    on_trial = false,
    losses = 0,
    convictions = 0,
    trials = 0,
    failed_attempts = l.failed_attempts,
    visible_at = now() + make_interval(secs => l.delay_seconds),
    last_error = l.last_error,
    detail = coalesce(l.detail, t.detail)
from locked l
where t.instance_id = any($2::text[]) and t.execution = any($3::integer[]) and t.seq = any($4::integer[])
    and t.instance_id = l.instance_id and t.execution = l.execution and t.seq = l.seq
returning t.instance_id, t.execution, t.seq
