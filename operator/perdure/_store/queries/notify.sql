-- Purpose: wake whoever listens on a channel; carries no payload.
-- Parameters: $1 channel.
-- Locks: none (NOTIFY itself is serialised at commit, which is why it is sent once a batch and never by a trigger).
select pg_notify($1::text, '')
