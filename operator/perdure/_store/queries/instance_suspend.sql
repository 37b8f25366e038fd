-- Purpose: pause an instance: nobody claims it, and its owner, which is woken, gives it back. Again is harmless and tells
--     the newer reason; a finished one is left alone. Gives the phase it was in, no row when there is none.
-- Parameters: $1 instance_id, $2 reason.
-- Locks: the instance.
with locked as materialized (
    select instance_id, phase, finished_at is not null as is_finished
    from instances
    where instance_id = $1::text
    for update
),
paused as (
    update instances i
    set
        is_suspended = true,
        suspend_reason = $2::text,
        phase = 'Suspended',
        wake_at = case when i.owner_id is null then i.wake_at else now() end
    from locked l
    where i.instance_id = l.instance_id and not l.is_finished
    returning i.instance_id
)
select
    l.phase,
    l.is_finished,
    case when exists (select from paused) then pg_notify('perdure_wake', '') end
from locked l
