-- Purpose: tell whether an activity has released a name before.
-- Parameters: $1 namespace, $2 name, $3 key of the activity.
-- Locks: none.
select server_id from inventory.servers where namespace = $1 and name = $2 and released_key = $3;
