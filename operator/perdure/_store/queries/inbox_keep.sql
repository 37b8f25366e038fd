-- Purpose: keep what came in for suspended instances until they are resumed: results of activities that were running.
-- Parameters: $1 owner uuid; then one array element a result: $2 instance_id, $3 execution, $4 payload.
-- Locks: the instances in instance_id order.
with locked as materialized (
    select r.instance_id, r.execution, r.payload
    from (
        select instance_id, execution, payload
        from unnest($2::text[], $3::integer[], $4::bytea[]) as given (instance_id, execution, payload)
        order by instance_id
    ) r
    cross join lateral (
        select 1
        from instances i
        where i.instance_id = r.instance_id and i.owner_id is not distinct from $1::uuid
        for update
    ) owned
)
insert into inbox (instance_id, kind, payload, execution)
select instance_id, 'Event', payload, execution from locked
