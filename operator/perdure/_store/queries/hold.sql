-- Purpose: put an instance on hold: its code asks for something else than its history records, or what came in for it
--     cannot be read. No turn is written; one that is on its way is refused, since nobody owns the instance any more.
-- Parameters: $1 owner uuid, $2 instance_id, $3 reason, $4 error, $5 seconds until it is tried again (null: when a worker
--     joins or goes), $6 whether a cancel ends it all the same: who is asked to end is then looked at at once, and so is
--     one that got a message which nobody has noted yet; any other must not bring it back: it may be the reason of the
--     hold.
--     $7 the turn that it could not take: a later one was taken by somebody else, who is left alone.
-- Locks: the instance.
update instances
set
    owner_id = null,
    phase = 'Suspended',
    hold_reason = $3::text,
    error = $4::bytea,
    wake_at = case
        when $6::boolean and exists (
            select from inbox m where m.instance_id = $2::text and m.kind in ('Cancel', 'Terminate')
        ) then now()
        else least(wake_at, now() + make_interval(secs => $5::float8))
    end
where owner_id = $1::uuid and instance_id = $2::text and turn = $7::integer
returning instance_id
