-- Purpose: wake whoever listens on a channel; carries no payload, and does not wait for the disk: it has nothing to keep.
-- Parameters: $1 channel.
-- Locks: none (NOTIFY itself is serialised at commit, which is why it is sent once a batch and never by a trigger).
select set_config('synchronous_commit', 'off', true), pg_notify($1::text, '')
