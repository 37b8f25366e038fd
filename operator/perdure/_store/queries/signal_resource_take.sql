-- Purpose: take signal resources that wait in hand, each with the run that it is for now. One that somebody else has in
--   hand is left to them; one that is decided, gone or on its way out is left alone.
-- Parameters: $1 uids.
--   Gives for each, the older first and then by name: uid, namespace, message, signal, config_map, config_key,
--   instance_id (null while there is no run, or when one has ended that a changed request is to follow), run_as, whether
--   the run is_there, whether it is_finished, and whether the signal is_behind: an older one waits for a run that is too full.
-- Locks: signal_resources, skipping those that are locked. The instances are read as they are: sending decides.
with first as materialized (
    select runs.namespace, runs.target, older.created_at, older.name, older.uid
    from (select distinct namespace, target from signal_resources where uid = any($1::uuid[])) as runs
    cross join lateral (
        select signal_resources.created_at, signal_resources.name, signal_resources.uid
        from signal_resources
        where
            signal_resources.namespace = runs.namespace
            and signal_resources.target = runs.target
            and signal_resources.phase = 'Pending'
            and signal_resources.gone_at is null
            and signal_resources.reason = 'SignalsFull'
            and not signal_resources.deleting
            and signal_resources.uid <> all($1::uuid[])
        order by signal_resources.created_at, signal_resources.name, signal_resources.uid
        limit 1
    ) as older
)

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
    instances.finished_at is not null as is_finished,
    coalesce((first.created_at, first.name, first.uid) < (taken.created_at, taken.name, taken.uid), false) as is_behind
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
left join first on first.namespace = taken.namespace and first.target = taken.target
left join instances on instances.instance_id = run.instance_id and instances.resource_uid = run.uid
order by taken.created_at, taken.namespace, taken.name, taken.uid
