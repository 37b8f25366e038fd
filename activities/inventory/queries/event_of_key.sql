-- Purpose: find what an activity has said of a server before; no row when this is the first time.
-- Parameters: $1 server_id, $2 key of the activity.
-- Locks: none; the caller holds the server.
select from_state, to_state from inventory.events where server_id = $1 and key = $2;
