-- Purpose: remember failed attempts before the next ones are made, so that no crash forgets them (I10), and what their
--     heartbeats said last, if anything. Said again because the answer was lost, it changes no time: that may have been
--     brought forward since. Said so late that the next has failed, too, it changes neither count nor error.
--     An attempt that came to its end has killed nobody: the suspicion ends, and a trial. Not for a later instance of the
--     same id: it was made at another moment than the one that is meant.
-- Parameters: $1 owner uuid; then one array element an attempt: $2 instance_id, $3 execution, $4 seq, $5 failed_attempts,
--     $6 delay until the next attempt in seconds, $7 last_error, $8 detail, $9 created_at of the instance (null: unknown).
-- Locks: tasks in (instance_id, execution, seq) order.
insert into tasks (instance_id, execution, seq, failed_attempts, visible_at, last_error, detail)
select
    t.instance_id, t.execution, t.seq, t.failed_attempts, now() + make_interval(secs => t.delay_seconds), t.last_error,
    t.detail
from unnest($2::text[], $3::integer[], $4::integer[], $5::integer[], $6::float8[], $7::bytea[], $8::bytea[],
    $9::timestamptz[])
    as t (instance_id, execution, seq, failed_attempts, delay_seconds, last_error, detail, created_at)
cross join lateral (
    select 1
    from instances i
    where i.instance_id = t.instance_id
        and i.owner_id is not distinct from $1::uuid
        and i.created_at is not distinct from coalesce(t.created_at, i.created_at)
    offset 0
) owned
order by t.instance_id, t.execution, t.seq
on conflict (instance_id, execution, seq) do update
set
    failed_attempts = greatest(tasks.failed_attempts, excluded.failed_attempts),
    visible_at = case
        when tasks.failed_attempts >= excluded.failed_attempts then tasks.visible_at else excluded.visible_at
    end,
    last_error = case
        when tasks.failed_attempts > excluded.failed_attempts then tasks.last_error else excluded.last_error
    end,
    losses = 0,
    convictions = 0,
    trials = 0,
    on_trial = false,
    worker_id = null,
    detail = coalesce(excluded.detail, tasks.detail)
returning instance_id, seq
