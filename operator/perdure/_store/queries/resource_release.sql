-- Purpose: take finished runs from the resources that had them, which are gone or about to be: others adopt these runs.
-- Parameters: $1 instance_ids.
-- Locks: resources by uid.
with had as materialized (
    select uid from resources where instance_id = any($1::text[]) order by uid for update
)
update resources set run = null, instance_id = null
from had
where resources.uid = had.uid
