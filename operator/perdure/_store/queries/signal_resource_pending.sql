-- Purpose: find the signal resources that wait for runs that have just begun.
-- Parameters: $1 instance_ids of the runs.
-- Locks: none.
select kept.uid, kept.created_at, kept.namespace, kept.name, coalesce(octet_length(kept.message), 0) as size_bytes
from unnest($1::text[]) as begun (instance_id)
cross join lateral (
    select resources.namespace, resources.name
    from resources
    where resources.instance_id = begun.instance_id and resources.gone_at is null
) as run
cross join lateral (
    select *
    from signal_resources
    where
        signal_resources.namespace = run.namespace
        and signal_resources.target = run.name
        and signal_resources.phase = 'Pending'
        and signal_resources.gone_at is null
) as kept
