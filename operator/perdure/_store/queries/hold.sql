-- Purpose: put an instance on hold: its code asks for something else than its history records. No turn is written.
-- Parameters: $1 owner uuid, $2 instance_id, $3 turn, $4 reason, $5 error, $6 seconds until it is tried again
--     (null: when a worker joins), $7 whether a cancel ends it all the same, and is a reason to try again at once.
-- Locks: the instance.
update instances
set
    owner_id = null,
    phase = 'Suspended',
    hold_reason = $4::text,
    error = $5::bytea,
    wake_at = case
        when $7::boolean and exists (
            select from inbox m where m.instance_id = $2::text and m.kind in ('Cancel', 'Terminate')
        ) then now()
        else least(wake_at, now() + make_interval(secs => $6::float8))
    end
where owner_id = $1::uuid and instance_id = $2::text and turn = $3::integer
returning instance_id
