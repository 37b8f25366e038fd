-- Purpose: keep what came in for suspended instances until they are resumed: results of activities that were running.
--     Not for a later one of the same id: it was made at another moment than the one that is meant.
-- Parameters: $1 owner uuid; then one array element a result: $2 instance_id, $3 execution, $4 created_at (null: unknown),
--     $5 payload.
-- Locks: the instances in instance_id order.
with locked as materialized (
    select r.instance_id, r.execution, r.payload
    from (
        select instance_id, execution, created_at, payload
        from unnest($2::text[], $3::integer[], $4::timestamptz[], $5::bytea[])
            as given (instance_id, execution, created_at, payload)
        order by instance_id
    ) r
    cross join lateral (
        select 1
        from instances i
        where i.instance_id = r.instance_id and i.owner_id is not distinct from $1::uuid
            and i.created_at is not distinct from coalesce(r.created_at, i.created_at)
        for update
    ) owned
)
insert into inbox (instance_id, kind, payload, execution)
select instance_id, 'Event', payload, execution from locked
