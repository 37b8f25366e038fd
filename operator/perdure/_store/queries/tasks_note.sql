-- Purpose: remember what the heartbeats of running activities said last: the next attempt is given it, also after a crash.
-- Parameters: $1 owner uuid; then one array element an activity: $2 instance_id, $3 execution, $4 seq, $5 detail,
--     $6 created_at of the instance (null: unknown): a later one of the same id is not meant.
-- Locks: tasks in (instance_id, execution, seq) order.
insert into tasks (instance_id, execution, seq, detail)
select t.instance_id, t.execution, t.seq, t.detail
from unnest($2::text[], $3::integer[], $4::integer[], $5::bytea[], $6::timestamptz[])
    as t (instance_id, execution, seq, detail, created_at)
cross join lateral (
    select 1
    from instances i
    where i.instance_id = t.instance_id
        and i.owner_id is not distinct from $1::uuid
        and i.created_at is not distinct from coalesce(t.created_at, i.created_at)
    offset 0
) owned
order by t.instance_id, t.execution, t.seq
on conflict (instance_id, execution, seq) do update set detail = excluded.detail
returning instance_id, seq
