-- Purpose: in one round trip, take ownerless instances that are due and that this worker can run, and collect which of
--     its own instances have news in their inbox (their wake_at is cleared; the inbox is read by a later statement,
--     whose newer snapshot sees every message that set it).
-- Parameters: $1 worker_id uuid, $2 names text[], $3 versions text[] ('' stands for the latest), $4 how many.
-- Locks: own worker row (key share), then instances, skipping locked ones.
with me as materialized (
    select worker_id from workers where worker_id = $1::uuid for key share
),
due as materialized (
    select i.instance_id
    from instances i
    where i.owner_id is null
        and not i.is_suspended
        and i.wake_at <= now()
        and (i.name, i.version) in (select o.name, o.version from unnest($2::text[], $3::text[]) as o (name, version))
        and exists (select from me)
    order by i.wake_at
    limit $4::integer
    for update of i skip locked
),
claimed as (
    update instances i
    set owner_id = $1::uuid, wake_at = null
    from due d
    where i.instance_id = d.instance_id
    returning
        i.instance_id, i.name, i.version, i.phase, i.execution, i.turn, i.recoveries, i.run_as, i.resource_uid, i.input
),
noted as materialized (
    select i.instance_id
    from instances i
    where i.owner_id = $1::uuid and i.wake_at is not null
    for update of i skip locked
),
news as (
    update instances i
    set wake_at = null
    from noted n
    where i.instance_id = n.instance_id
    returning i.instance_id
)
select true as is_claimed, c.* from claimed c
union all
select false, n.instance_id, '', '', '', 0, 0, 0, '', null::uuid, ''::bytea from news n
