-- Purpose: take in what was seen of resources: remember it, start the runs that are due, ask those to end that should.
--   Idempotent. Runs in a transaction that holds the lock of resource_lock.sql; a uid is in a batch once.
-- Parameters, one array element per resource, in order of arrival:
--   $1 uid  $2 namespace  $3 name  $4 generation  $5 spec (JSON)  $6 deleting  $7 gone (then $4, $5, $8-$13 are ignored)
--   $8 refusal (JSON) or null  $9 reason of spec.cancel or null  $10 orchestration  $11 version or ''  $12 input (JSON)
--   $13 run_as
--   Gives one row for each resource that brought news: uid, instance_id, is_gone, starts, cancels.
-- Plain: $5 and $8 are compared here, and stand in the API server for everybody who may read the resource.
-- Locks: resources by uid, resource_runs by name, instances by instance_id.
--
-- Values are passed on from step to step, and each step meets one table by its key: a join of two steps would be planned
-- as if they had ten rows and one.
with news as (
    select
        seen.*,
        resources.run as old_run,
        resources.instance_id as old_instance_id,
        resources.cancel_reason as old_cancel_reason,
        coalesce(case when seen.gone then resources.generation else seen.item_generation end, 0) as new_generation,
        case when seen.gone then resources.spec else seen.item_spec end as new_spec,
        case when seen.gone then resources.refusal else seen.item_refusal end as new_refusal,
        coalesce(
            resources.cancel_reason,
            case when seen.gone or seen.item_deleting then 'The resource was deleted.' else seen.item_cancel_reason end
        ) as new_cancel_reason,
        not seen.gone and not seen.item_deleting and seen.item_refusal is null and resources.run is null as starts
    from unnest(
        $1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::boolean[], $7::boolean[],
        $8::bytea[], $9::text[], $10::text[], $11::text[], $12::bytea[], $13::text[]
    ) with ordinality as seen (
        item_uid, item_namespace, item_name, item_generation, item_spec, item_deleting, gone,
        item_refusal, item_cancel_reason, orchestration, version, input, item_run_as, position
    )
    left join resources on resources.uid = seen.item_uid
    where
        resources.uid is null
        or (
            resources.gone_at is null
            and (
                seen.gone
                or (
                    seen.item_generation >= resources.generation
                    and (seen.item_generation, seen.item_spec, seen.item_deleting, seen.item_refusal)
                    is distinct from (resources.generation, resources.spec, resources.deleting, resources.refusal)
                )
            )
        )
),

numbered as (
    select
        news.*,
        case
            when not news.starts then news.old_run
            else coalesce(resource_runs.last_run, 0)
                + row_number() over (
                    partition by news.item_namespace, news.item_name, news.starts order by news.position
                )::integer
        end as new_run
    from news
    left join resource_runs
        on resource_runs.namespace = news.item_namespace and resource_runs.name = news.item_name
),

decided as (
    select
        numbered.*,
        case
            when numbered.starts then format('%s/%s:%s', numbered.item_namespace, numbered.item_name, numbered.new_run)
            else numbered.old_instance_id
        end as new_instance_id
    from numbered
),

remembered as (
    insert into resources (
        uid, namespace, name, generation, spec, run, instance_id, run_as, refusal, cancel_reason, deleting, gone_at
    )
    select
        item_uid, item_namespace, item_name, new_generation, new_spec, new_run, new_instance_id, item_run_as,
        new_refusal, new_cancel_reason, item_deleting, case when gone then now() end
    from decided
    order by item_uid
    on conflict (uid) do update set
        generation = excluded.generation,
        spec = excluded.spec,
        run = excluded.run,
        instance_id = excluded.instance_id,
        run_as = case when resources.run is null then excluded.run_as else resources.run_as end,
        refusal = excluded.refusal,
        cancel_reason = excluded.cancel_reason,
        deleting = excluded.deleting or resources.deleting,
        gone_at = excluded.gone_at,
        observed_at = now(),
        settled = false
),

counted as (
    insert into resource_runs (namespace, name, last_run)
    select item_namespace, item_name, max(new_run)
    from decided
    where starts
    group by item_namespace, item_name
    order by item_namespace, item_name
    on conflict (namespace, name) do update set last_run = excluded.last_run
),

started as (
    insert into instances (
        instance_id, name, version, phase, input, run_as, resource_uid, wake_at, finished_at
    )
    select
        new_instance_id, orchestration, version,
        case when new_cancel_reason is null then 'Pending' else 'Cancelled' end,
        input, item_run_as, item_uid,
        case when new_cancel_reason is null then now() end,
        case when new_cancel_reason is not null then now() end
    from decided
    where starts
    order by new_instance_id
    on conflict (instance_id) do nothing
),

ending as (
    select instances.instance_id, decided.new_cancel_reason, instances.owner_id is null and instances.turn = 0 as is_fresh
    from decided
    inner join instances on instances.instance_id = decided.old_instance_id
    where
        decided.old_cancel_reason is null
        and decided.new_cancel_reason is not null
        and instances.resource_uid = decided.item_uid
        and instances.finished_at is null
    order by instances.instance_id
    for update of instances
),

told as (
    insert into inbox (instance_id, kind, payload, dedupe_key)
    select instance_id, 'Cancel', convert_to(jsonb_build_object('reason', new_cancel_reason)::text, 'UTF8'), 'cancel'
    from ending
    where not is_fresh
    order by instance_id
    on conflict do nothing
),

woken as (
    update instances
    set
        phase = case
            when ending.is_fresh then 'Cancelled'
            when not instances.is_suspended or instances.hold_reason <> '' then instances.phase
            when instances.turn = 0 then 'Pending'
            else 'Running'
        end,
        is_suspended = false, -- a pause must not keep from ending whoever is told to
        suspend_reason = '',
        finished_at = case when ending.is_fresh then now() end,
        wake_at = case when not ending.is_fresh then now() end
    from ending
    where instances.instance_id = ending.instance_id
)

select
    item_uid as uid,
    new_instance_id as instance_id,
    gone as is_gone,
    starts,
    old_cancel_reason is null and new_cancel_reason is not null as cancels
from decided
