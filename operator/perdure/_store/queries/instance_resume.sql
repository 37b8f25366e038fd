-- Purpose: let a paused instance go on, and one that is held be tried again at once; one that was held as poison gets one
--     more chance. Any other is left alone. Gives the phase it was in, no row when there is none.
-- Parameters: $1 instance_id, $2 recoveries above which an instance is poison.
-- Locks: the instance.
with locked as materialized (
    select instance_id, phase, finished_at is not null as is_finished
    from instances
    where instance_id = $1::text
    for update
),
resumed as (
    update instances i
    set
        is_suspended = false,
        suspend_reason = '',
        phase = case when i.hold_reason <> '' then 'Suspended' when i.turn = 0 then 'Pending' else 'Running' end,
        recoveries = least(i.recoveries, $2::integer),
        wake_at = now()
    from locked l
    where i.instance_id = l.instance_id and l.phase = 'Suspended'
    returning i.instance_id
)
select
    l.phase,
    l.is_finished,
    case when exists (select from resumed) then pg_notify('perdure_wake', '') end
from locked l
