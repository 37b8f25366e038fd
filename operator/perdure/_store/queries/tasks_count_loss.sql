-- Purpose: before activities are run again whose worker died: count the death, so that one that kills is found (I10).
-- Parameters: $1 owner uuid, $2 instance_ids text[], $3 executions integer[], $4 seqs integer[].
-- Locks: tasks in (instance_id, execution, seq) order.
insert into tasks (instance_id, execution, seq, losses)
select t.instance_id, t.execution, t.seq, 1
from unnest($2::text[], $3::integer[], $4::integer[]) as t (instance_id, execution, seq)
cross join lateral (
    select 1 from instances i where i.instance_id = t.instance_id and i.owner_id is not distinct from $1::uuid offset 0
) owned
order by t.instance_id, t.execution, t.seq
on conflict (instance_id, execution, seq) do update set losses = tasks.losses + 1
returning instance_id, seq, losses
