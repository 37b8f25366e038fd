-- Purpose: note what happened to a server.
-- Parameters: $1 server_id, $2 kind, $3 message, $4 key of the activity, $5 and $6 the states before and after, null
-- for what has nothing to do with states.
-- Locks: the new event; the caller holds the server.
insert into inventory.events (server_id, kind, message, key, from_state, to_state)
values ($1, $2, $3, $4, $5, $6)
on conflict (server_id, key) do nothing
returning event_id;
