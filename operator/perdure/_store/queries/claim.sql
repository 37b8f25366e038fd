-- Purpose: in one round trip, take ownerless instances that are due and that this worker can run, and collect which of
--     its own instances have news (their wake_at is cleared; the inbox is read by a later statement, whose newer
--     snapshot sees every message that set it). What nobody here can run costs nothing: the index leads with the name.
--     Whether there may be messages is said: who sends one writes the row, so that in a row that is as the snapshot has it
--     nobody has sent one that the snapshot has not.
--     Whether the loss of its activities is to be counted is said once. When a row was claimed is said as it is: later
--     than all that its last owner did before it gave it up. A worker without a cluster leaves the runs of resources
--     alone. A claim of new instances alone does not wait for the disk: nothing is done for them before a turn of theirs is
--     committed, which takes the claim along. What has begun goes on at once, so that its claim must not be undone by a crash.
-- Parameters: $1 worker_id uuid, $2 names text[], $3 versions text[] ('' stands for the latest), $4 how many,
--     $5 instance_ids text[] to leave alone: this worker is just giving them back, with their news.
-- Locks: own worker row (key share), then instances, skipping locked ones.
with me as materialized (
    select worker_id, has_cluster from workers where worker_id = $1::uuid for key share
),
candidates as materialized (
    select c.instance_id, c.wake_at, c.seen_at
    from unnest($2::text[], $3::text[]) as o (name, version)
    cross join lateral (
        select i.instance_id, i.wake_at, i.ctid as seen_at
        from instances i
        where i.name = o.name
            and i.version = o.version
            and i.owner_id is null
            and i.wake_at <= now()
            and not i.is_suspended
            and (i.run_as = '' or (select has_cluster from me))
        order by i.wake_at
        limit $4::integer
    ) c
    order by c.wake_at
    limit $4::integer
),
due as materialized (
    select
        i.instance_id,
        i.is_suspect,
        i.ctid <> c.seen_at
        -- Not `exists`: that may be planned as a hash of all messages there are.
        or coalesce((select true from inbox m where m.instance_id = i.instance_id limit 1), false) as has_messages
    from candidates c
    join instances i on i.instance_id = c.instance_id
    where num_nulls(i.owner_id) = 1 -- not `is null`: each would be sought among all that are due, while they seem few
        and i.wake_at <= now()
        and not i.is_suspended
        and i.instance_id <> all($5::text[])
        and exists (select from me)
    for update of i skip locked
),
claimed as (
    update instances i
    set owner_id = $1::uuid, wake_at = null, is_suspect = false
    from due d
    where i.instance_id = d.instance_id
    returning
        i.instance_id, i.name, i.version, i.phase, i.execution, i.turn, i.recoveries, i.run_as, i.resource_uid, i.input,
        i.carried, i.is_suspended, i.on_nondeterminism, i.parent_id, i.parent_execution, i.parent_seq, d.is_suspect,
        i.created_at, d.has_messages
),
noted as materialized (
    select i.instance_id
    from instances i
    where i.owner_id = $1::uuid
        and i.wake_at is not null
        and i.instance_id <> all($5::text[])
        and exists (select from me)
    for update of i skip locked
),
news as (
    update instances i
    set wake_at = null
    from noted n
    where i.instance_id = n.instance_id
    returning i.instance_id, i.is_suspended
)
select
    true as is_claimed, c.*, clock_timestamp() as claimed_at,
    (
        select set_config('synchronous_commit', 'off', true)
        where not exists (select from claimed b where b.turn > 0)
    ) as waits_for_disk
from claimed c
union all
select
    false, n.instance_id, '', '', '', 0, 0, 0, '', null::uuid, ''::bytea,
    null::bytea, n.is_suspended, '', null::text, null::integer, null::integer, false,
    null::timestamptz, null::boolean, null::timestamptz, null
from news n
