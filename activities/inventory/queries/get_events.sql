-- Purpose: read the newest events of a server, the newest first.
-- Parameters: $1 server_id, $2 how many.
-- Locks: none.
select at, kind, message, from_state, to_state
from inventory.events
where server_id = $1
order by event_id desc
limit $2;
