-- Purpose: give a name and a DNS label back. What is left is history: the server, as `deleted` unless it had failed, and
-- its events; its health is forgotten.
-- Parameters: $1 server_id, $2 key of the activity.
-- Locks: the server (held), its new event, its health.
with released as (
    update inventory.servers
    set released_at = now(),
        released_key = $2,
        state = case when state = 'failed' then state else 'deleted' end,
        state_at = case when state in ('failed', 'deleted') then state_at else now() end
    where server_id = $1
    returning server_id, state
),
forgotten as (
    delete from inventory.health where server_id = $1
)
insert into inventory.events (server_id, kind, message, key, to_state)
select server_id, 'released', '', $2, state from released;
