-- Purpose: keep what came in for suspended instances until they are resumed: results of activities that were running.
-- Parameters: $1 owner uuid; then one array element a result: $2 instance_id, $3 execution, $4 payload.
-- Locks: the instances in instance_id order.
with locked as materialized (
    select r.instance_id, r.execution, r.payload
    from unnest($2::text[], $3::integer[], $4::bytea[]) as r (instance_id, execution, payload)
    join instances i on i.instance_id = r.instance_id
    where i.owner_id is not distinct from $1::uuid
    order by r.instance_id
    for update of i
)
insert into inbox (instance_id, kind, payload, execution)
select instance_id, 'Event', payload, execution from locked
