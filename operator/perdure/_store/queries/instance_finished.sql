-- Purpose: which of the instances somebody waits for have ended, or are no longer there.
-- Parameters: $1 instance_ids text[].
-- Locks: none.
select w.instance_id
from unnest($1::text[]) as w (instance_id)
where coalesce((select i.finished_at is not null from instances i where i.instance_id = w.instance_id), true)
