-- Purpose: read the history of one execution, or of the current one.
-- Parameters: $1 instance_id, $2 execution or null.
-- Locks: none.
select h.turn, h.at, h.body
from instances i
join history h on h.instance_id = i.instance_id and h.execution = coalesce($2::integer, i.execution)
where i.instance_id = $1::text
order by h.turn
