-- Purpose: forget what happened to a server.
-- Parameters: $1 server_id.
-- Locks: its events; the caller holds the server.
delete from inventory.events where server_id = $1;
