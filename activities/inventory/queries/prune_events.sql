-- Purpose: keep the newest events of a server and, of those that say a state again, the newest alone: somebody who says
-- `degraded` every minute must not push out how it began.
-- Parameters: $1 server_id, $2 how many events to keep.
-- Locks: the events that go; the caller holds the server.
delete from inventory.events
where server_id = $1
    and (
        event_id <= (
            select event_id from inventory.events where server_id = $1 order by event_id desc limit 1 offset $2
        )
        or (
            kind = 'state' and from_state = to_state
            and event_id < (
                select max(event_id) from inventory.events
                where server_id = $1 and kind = 'state' and from_state = to_state
            )
        )
    );
