-- Purpose: ask for the end of an instance; again is harmless, a finished one is left alone, a paused one goes on to end.
-- Parameters: $1 instance_id, $2 payload of the message.
-- Locks: the instance, then the new inbox row.
with target as (
    update instances
    set
        wake_at = now(),
        is_suspended = false,
        suspend_reason = '',
        phase = case
            when not is_suspended or hold_reason <> '' then phase
            when turn = 0 then 'Pending'
            else 'Running'
        end
    where instance_id = $1::text and finished_at is null
    returning instance_id
),
sent as (
    insert into inbox (instance_id, kind, payload, dedupe_key)
    select instance_id, 'Cancel', $2::bytea, 'cancel' from target
    on conflict (instance_id, dedupe_key) where dedupe_key is not null do nothing
)
select instance_id, pg_notify('perdure_wake', '') from target
