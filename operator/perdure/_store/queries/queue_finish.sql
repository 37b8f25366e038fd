-- Purpose: hand the results of queued tasks to their instances and delete the tasks, where they are still this worker's.
--     A result is applied at most once: who was cancelled, or taken for dead, or sends it a second time because the
--     first answer was lost, finds no row of its own any more, also when the id is used again: the new task was asked for
--     at another moment. An instance that has ended or goes on in another execution wants no result. Wakes the owners,
--     once.
-- Parameters: $1 worker_id uuid; then one array element a task: $2 instance_id, $3 execution, $4 seq, $5 claims,
--     $6 asked_at, $7 the result, an event of history.
-- Locks: instances in instance_id order, then their tasks; then the new inbox rows.
with given as materialized (
    select *
    from unnest($2::text[], $3::integer[], $4::integer[], $5::integer[], $6::timestamptz[], $7::bytea[])
        as g (instance_id, execution, seq, claims, asked_at, payload)
),
locked as materialized (
    select i.instance_id, i.execution, i.finished_at
    from instances i
    where i.instance_id in (select g.instance_id from given g)
    order by i.instance_id
    for update
),
over as (
    delete from tasks t
    using given g left join locked l on l.instance_id = g.instance_id
    where t.instance_id = any($2::text[]) and t.execution = any($3::integer[]) and t.seq = any($4::integer[])
        and t.instance_id = g.instance_id and t.execution = g.execution and t.seq = g.seq
        and t.worker_id = $1::uuid and t.claims = g.claims and t.asked_at = g.asked_at
    returning
        t.instance_id, t.execution, t.seq, g.payload,
        coalesce(l.finished_at is null and l.execution = t.execution, false) as is_wanted
),
sent as (
    insert into inbox (instance_id, execution, kind, payload)
    select instance_id, execution, 'Event', payload from over where is_wanted order by instance_id, execution, seq
),
woken as (
    update instances i
    set wake_at = now()
    where i.instance_id in (select o.instance_id from over o where o.is_wanted)
)
select instance_id, execution, seq, case when is_wanted then pg_notify('perdure_wake', '') end from over
