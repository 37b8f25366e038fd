-- Purpose: let a paused instance go on, and one that is held be tried again at once; one that was held as poison gets one
--     more chance. Whoever resumes has repaired something: an activity that waits for its next attempt waits no longer,
--     also in an instance that runs. Any other is left alone. Gives the phase it was in, no row when there is none.
-- Parameters: $1 instance_id, $2 recoveries above which an instance is poison.
-- Locks: the instance, then its tasks that wait.
with locked as materialized (
    select instance_id, execution, phase, owner_id, is_suspended, finished_at is not null as is_finished
    from instances
    where instance_id = $1::text
    for update
),
hastened as (
    update tasks t
    set visible_at = now()
    from locked l
    where t.instance_id = $1::text and t.execution = l.execution and t.worker_id is null and t.visible_at > now()
    returning t.seq
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
    where i.instance_id = l.instance_id
        -- The owner looks at its waiting activities again when it has news.
        and (l.phase = 'Suspended' or l.is_suspended or (l.owner_id is not null and exists (select from hastened)))
    returning i.instance_id
)
select
    l.phase,
    l.is_finished,
    case when exists (select from resumed) or exists (select from hastened) then pg_notify('perdure_wake', '') end
from locked l
