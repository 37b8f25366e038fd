-- Purpose: give the turns of these instances after those that are known already, in order.
-- Parameters: $1 instance ids, $2 execution and $3 turn of the last known turn of each (0 and -1 when none is known).
-- Locks: none.
select history.instance_id, history.execution, history.turn, history.at, history.body
from unnest($1::text[], $2::integer[], $3::integer[]) as known (instance_id, execution, turn)
inner join history
    on history.instance_id = known.instance_id
    and (history.execution, history.turn) > (known.execution, known.turn)
order by history.instance_id, history.execution, history.turn
