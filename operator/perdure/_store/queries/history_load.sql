-- Purpose: read the turns of many executions, each in order.
-- Parameters: $1 instance_ids text[], $2 executions integer[].
-- Locks: none.
select h.instance_id, h.turn, h.at, h.body
from unnest($1::text[], $2::integer[]) as k (instance_id, execution)
join history h on h.instance_id = k.instance_id and h.execution = k.execution
order by h.instance_id, h.turn
