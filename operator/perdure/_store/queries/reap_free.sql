-- Purpose: second step of reaping: make the instances of dead workers claimable at once. Who died with something on trial
--     died of that, and all others go on without blame. Else nothing says of what: whatever it owned is suspect.
--     Whoever lost an owner is tried before it runs again, but more than once it is only counted where it was tried.
-- Parameters: $1 worker_ids uuid[].
-- Locks: the instances, in instance_id order.
with dead as materialized (
    select
        w.worker_id,
        w.trying,
        w.trying <> '{}'
        or (select true from tasks t where t.worker_id = w.worker_id and t.on_trial limit 1) is true as has_trial
    from workers w
    where w.worker_id = any($1::uuid[])
),
locked as materialized (
    select instance_id, owner_id
    from instances
    where owner_id = any($1::uuid[])
    order by instance_id
    for update
)
update instances i
set
    owner_id = null,
    wake_at = now(),
    is_suspect = i.is_suspect or not d.has_trial,
    recoveries = case
        when i.instance_id = any(d.trying) then i.recoveries + 1
        else greatest(i.recoveries, 1)
    end
from locked l
join dead d on d.worker_id = l.owner_id
where i.instance_id = l.instance_id
returning i.instance_id
