-- Purpose: bring a server to a state, and note it; what failed and when stays, whatever comes after.
-- Parameters: $1 server_id, $2 the state it is in, $3 the state it comes to, $4 message, $5 details (JSON; of an empty
-- object those of before stay), $6 actor, $7 version, $8 storage (empty: as before), $9 key of the activity.
-- Locks: the server (held), its new event.
with changed as (
    update inventory.servers
    set state = $3::text,
        state_at = case when $2 = $3 then state_at else now() end,
        message = $4::text,
        details = case when $5::text = '{}' then details else $5::text::jsonb end,
        actor = coalesce(nullif($6, ''), actor),
        version = coalesce(nullif($7, ''), version),
        storage = coalesce(nullif($8, ''), storage),
        failure = case when $3 = 'failed' and $2 <> 'failed' then $4 else failure end,
        failed_at = case when $3 = 'failed' and $2 <> 'failed' then now() else failed_at end
    where server_id = $1
    returning server_id
)
insert into inventory.events (server_id, kind, message, key, from_state, to_state)
select server_id, 'state', $4, $9, $2::text, $3 from changed;
