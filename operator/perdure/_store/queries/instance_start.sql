-- Purpose: start many instances; an id that exists is left alone. Wakes the workers, once.
-- Parameters: one array element an instance: $1 instance_id, $2 name, $3 version ('' for the latest), $4 input, $5 run_as,
--     $6 on_nondeterminism.
-- Locks: the new rows, then inbox, tasks and signal_keys rows that stand under their ids.
with started as (
    insert into instances (instance_id, name, version, input, run_as, on_nondeterminism, wake_at)
    select t.instance_id, t.name, t.version, t.input, t.run_as, t.on_nondeterminism, now()
    from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[])
        as t (instance_id, name, version, input, run_as, on_nondeterminism)
    order by t.instance_id
    on conflict (instance_id) do nothing
    returning instance_id
),
-- What was left for an earlier one of the same id, whose removal could not see it, is not for this one.
cleared_inbox as (
    delete from inbox where instance_id = any(array(select s.instance_id from started s))
),
cleared_tasks as (
    delete from tasks where instance_id = any(array(select s.instance_id from started s))
),
cleared_keys as (
    delete from signal_keys where instance_id = any(array(select s.instance_id from started s))
)
select s.instance_id, pg_notify('perdure_wake', '') from started s
