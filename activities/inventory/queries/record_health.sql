-- Purpose: note one look at a server, count failures in a row, and forget what is too old or too much, all at once.
-- Parameters: $1 server_id, $2 healthy, $3 message, $4 latency in ms or null, $5 key of the activity, $6 how many
-- records to keep, this one included, $7 for how many days.
-- Locks: the server (held), its new record, the records that go.
with counted as (
    update inventory.servers
    set consecutive_failures = case when $2 then 0 else consecutive_failures + 1 end,
        health_since = case
            when health_since is null or (consecutive_failures = 0) <> $2::boolean then now()
            else health_since
        end,
        last_ok_at = case when $2 then now() else last_ok_at end
    where server_id = $1
    returning server_id, consecutive_failures, health_since, last_ok_at
),
noted as (
    insert into inventory.health (server_id, healthy, message, latency_ms, key)
    select server_id, $2, $3, $4, $5 from counted
),
forgotten as (
    delete from inventory.health
    where server_id = $1
        and (
            at < now() - make_interval(days => $7)
            or record_id <= (
                select record_id from inventory.health where server_id = $1 order by record_id desc limit 1 offset $6 - 1
            )
        )
)
select consecutive_failures, health_since, last_ok_at from counted;
