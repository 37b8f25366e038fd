-- Purpose: which children that are waited for are not there: their id was taken by somebody else, or they were removed.
-- Parameters: one array element a child: $1 parent_id, $2 execution of the parent, $3 seq of the asking, $4 instance_id.
-- Locks: none.
select c.parent_id, c.seq
from unnest($1::text[], $2::integer[], $3::integer[], $4::text[]) as c (parent_id, execution, seq, instance_id)
where not exists (
    select from instances i
    where i.instance_id = c.instance_id
        and i.parent_id = c.parent_id
        and i.parent_execution = c.execution
        and i.parent_seq = c.seq
)
