-- Purpose: take signal resources that wait in hand, each with the run that it is for now. One that somebody else has in
--   hand is left to them; one that is decided, gone or on its way out is left alone.
-- Parameters: $1 uids.
--   Gives for each, the older first and then by name: uid, namespace, message, signal, config_map, config_key,
--   instance_id (null while there is no run, or when one has ended that a changed request is to follow), run_as, whether
--   the run is_there, and whether it is_finished.
-- Locks: signal_resources, skipping those that are locked. The instances are read as they are: sending decides.
select
    taken.uid,
    taken.namespace,
    taken.message as payload,
    taken.signal,
    taken.config_map,
    taken.config_key,
    case when instances.finished_at is null or run.waiting = '' then run.instance_id end as instance_id,
    run.run_as,
    instances.instance_id is not null as is_there,
    instances.finished_at is not null as is_finished
from unnest($1::uuid[]) as wanted (uid)
cross join lateral (
    select *
    from signal_resources
    where
        signal_resources.uid = wanted.uid
        and signal_resources.phase = 'Pending'
        and signal_resources.gone_at is null
        and not signal_resources.deleting
    for update skip locked
) as taken
left join lateral (
    select resources.uid, resources.instance_id, resources.run_as, resources.waiting
    from resources
    where resources.namespace = taken.namespace and resources.name = taken.target and resources.gone_at is null
    -- Of two under one name the older was deleted, and its end was not seen yet.
    order by resources.observed_at desc
    limit 1
) as run on true
left join instances on instances.instance_id = run.instance_id and instances.resource_uid = run.uid
order by taken.created_at, taken.namespace, taken.name, taken.uid
