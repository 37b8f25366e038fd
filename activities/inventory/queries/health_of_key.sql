-- Purpose: tell whether an activity has noted its look before.
-- Parameters: $1 server_id, $2 key of the activity.
-- Locks: none; the caller holds the server.
select record_id from inventory.health where server_id = $1 and key = $2;
