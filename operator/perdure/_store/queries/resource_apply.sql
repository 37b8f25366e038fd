-- Purpose: carry out what was decided about resources: remember them, start runs and adopt finished ones, and change the
--     runs that there are. All values are decided by the caller, who has locked what they were decided by.
-- Parameters: $1 a JSON array of objects with the columns of `d` below. $2 spec, $3 refusal or null, $4 input, $5 event of
--     the signal that tells of a changed request or null, $6 status of an earlier run that is over or null, each with one
--     element per object, in the same order.
--     clock: Keep the deadline of the present run, Change it to the new timeout, or count it Anew from now on.
-- Plain: $2 and $3 are compared with what is seen later, and stand in the API server for everybody who may read the resource.
-- Locks: resources by uid, resource_runs by name, instances: new ones, and those locked by resource_lock_runs.sql; then tasks
--     that wait, of runs whose pause ends.
--
-- Values are passed on from step to step, and each step meets one table by its key: a join of two steps would be planned
-- as if they had ten rows and one.
with decided as materialized (
    select d.*
    from rows from (
        json_to_recordset($1::json) as (
            uid uuid, namespace text, name text, generation bigint, deleting boolean, gone boolean,
            run integer, used_run integer, instance_id text, run_as text, request text, told text, waiting text, cancel_reason text,
            timeout_seconds integer, old_timeout_seconds integer, ttl_seconds integer, retention_seconds integer,
            deletion_policy text, on_nondeterminism text, ready_when text, has_finalizer boolean, wants_finalizer boolean,
            is_adopted boolean, is_archived boolean, expires_at timestamptz, keeps_expiry boolean,
            begins text, orchestration text, version text, suspend_reason text, cancelled boolean,
            steers boolean, new_phase text, pauses boolean, pause_reason text, ends boolean, wakes boolean,
            cancel text, tells boolean, clock text
        ),
        unnest($2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
    ) as d (
        uid, namespace, name, generation, deleting, gone,
        run, used_run, instance_id, run_as, request, told, waiting, cancel_reason,
        timeout_seconds, old_timeout_seconds, ttl_seconds, retention_seconds,
        deletion_policy, on_nondeterminism, ready_when, has_finalizer, wants_finalizer,
        is_adopted, is_archived, expires_at, keeps_expiry,
        begins, orchestration, version, suspend_reason, cancelled,
        steers, new_phase, pauses, pause_reason, ends, wakes,
        cancel, tells, clock,
        spec, refusal, input, signal, status
    )
),

remembered as (
    insert into resources (
        uid, namespace, name, generation, spec, run, instance_id, run_as, refusal, cancel_reason, deleting, deleting_at,
        gone_at, request, told, waiting, timeout_seconds, ttl_seconds, deletion_policy, ready_when, has_finalizer,
        wants_finalizer, is_adopted, is_archived, expires_at, status
    )
    select
        d.uid, d.namespace, d.name, d.generation, d.spec, d.run, d.instance_id, d.run_as, d.refusal, d.cancel_reason,
        d.deleting, case when d.deleting then now() end, case when d.gone then now() end, d.request, d.told, d.waiting,
        d.timeout_seconds, d.ttl_seconds, d.deletion_policy, d.ready_when, d.has_finalizer,
        d.wants_finalizer, d.is_adopted, d.is_archived, d.expires_at, coalesce(d.status, buried.status)
    from decided d
    left join lateral (
        select t.status
        from tombstones t
        where d.begins = 'Adopt' and d.is_archived and t.namespace = d.namespace and t.name = d.name
    ) as buried on true
    order by d.uid
    on conflict (uid) do update set
        generation = case when excluded.gone_at is null then excluded.generation else resources.generation end,
        spec = case when excluded.gone_at is null then excluded.spec else resources.spec end,
        refusal = case when excluded.gone_at is null then excluded.refusal else resources.refusal end,
        run = excluded.run,
        instance_id = excluded.instance_id,
        run_as = excluded.run_as,
        cancel_reason = excluded.cancel_reason,
        -- A living one that is not deleted any more is of an API server that was restored.
        deleting = case when excluded.gone_at is null then excluded.deleting else resources.deleting end,
        deleting_at = case
            when excluded.deleting or excluded.gone_at is not null then coalesce(resources.deleting_at, excluded.deleting_at)
        end,
        gone_at = excluded.gone_at,
        request = excluded.request,
        told = excluded.told,
        waiting = excluded.waiting,
        timeout_seconds = excluded.timeout_seconds,
        ttl_seconds = excluded.ttl_seconds,
        deletion_policy = case when excluded.gone_at is null then excluded.deletion_policy else resources.deletion_policy end,
        ready_when = excluded.ready_when,
        has_finalizer = excluded.has_finalizer,
        wants_finalizer = excluded.wants_finalizer,
        is_adopted = excluded.is_adopted,
        is_archived = excluded.is_archived or (resources.is_archived and resources.run is not distinct from excluded.run),
        expires_at = case
            when (select d.keeps_expiry from decided d where d.uid = excluded.uid) then resources.expires_at
            else excluded.expires_at
        end,
        status = case
            when excluded.is_archived and resources.run is null then excluded.status else resources.status
        end,
        observed_at = now(),
        settled = false
),

counted as (
    insert into resource_runs (namespace, name, last_run)
    select namespace, name, max(used_run)
    from decided
    where used_run is not null
    group by namespace, name
    order by namespace, name
    on conflict (namespace, name) do update set last_run = greatest(resource_runs.last_run, excluded.last_run)
),

started as (
    insert into instances (
        instance_id, name, version, phase, input, run_as, resource_uid, on_nondeterminism, retention_seconds,
        is_suspended, suspend_reason, wake_at, deadline_at, finished_at
    )
    select
        instance_id, orchestration, version,
        case when cancelled then 'Cancelled' when suspend_reason <> '' then 'Suspended' else 'Pending' end,
        input, run_as, uid, on_nondeterminism, retention_seconds,
        suspend_reason <> '' and not cancelled,
        case when cancelled then '' else suspend_reason end,
        case when not cancelled then now() end,
        case when not cancelled and suspend_reason = '' then now() + make_interval(secs => timeout_seconds) end,
        case when cancelled then now() end
    from decided
    where begins = 'Start'
    order by instance_id
    on conflict (instance_id) do nothing
),

sent as (
    insert into inbox (instance_id, kind, payload, dedupe_key)
    select d.instance_id, m.kind, m.payload, m.dedupe_key
    from decided d
    cross join lateral (
        values
        (d.cancel is not null, 'Cancel', convert_to(jsonb_build_object('reason', d.cancel)::text, 'UTF8'), 'cancel'),
        (d.tells, 'Signal', d.signal, null)
    ) as m (is_due, kind, payload, dedupe_key)
    where m.is_due
    order by d.instance_id
    on conflict do nothing
),

steered as (
    update instances
    set
        phase = d.new_phase,
        is_suspended = d.pauses,
        suspend_reason = d.pause_reason,
        finished_at = case when d.ends then now() else instances.finished_at end,
        wake_at = case when d.ends then null when d.wakes then now() else instances.wake_at end,
        on_nondeterminism = d.on_nondeterminism,
        retention_seconds = d.retention_seconds,
        remove_at = case
            when instances.retention_seconds is not distinct from d.retention_seconds then instances.remove_at
        end,
        deadline_at = case
            when d.clock = 'Anew' then now() + make_interval(secs => d.timeout_seconds)
            when d.clock = 'Change' and (d.pauses and instances.turn = 0) then null
            when d.clock = 'Change' then
                coalesce(
                    instances.deadline_at - make_interval(secs => d.old_timeout_seconds),
                    instances.started_at,
                    instances.created_at
                ) + make_interval(secs => d.timeout_seconds)
            else instances.deadline_at
        end
    from decided d
    where d.steers and instances.instance_id = d.instance_id
),

hastened as (
    -- As instance_resume.sql does: who ends a pause has repaired something, and what waits for its next attempt waits no longer.
    update tasks
    set visible_at = now()
    where tasks.instance_id = any(array(select d.instance_id from decided d where d.steers and d.wakes and not d.pauses))
        and tasks.worker_id is null
        and tasks.visible_at > now()
        and (
            select i.is_suspended and i.execution = tasks.execution
            from instances i
            where i.instance_id = tasks.instance_id
        )
),

passed_on as (
    update instances set resource_uid = d.uid
    from decided d
    where d.begins = 'Adopt' and not d.is_archived and instances.instance_id = d.instance_id
)

select count(*) from decided
