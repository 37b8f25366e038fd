-- Purpose: take finished runs from the resources that had them, for others to adopt. These are gone: there is another one of
--     their name, and whatever sight of them is still on its way is late.
-- Parameters: $1 instance_ids.
-- Locks: resources by uid.
with had as materialized (
    select uid from resources where instance_id = any($1::text[]) order by uid for update
)
update resources set run = null, instance_id = null, gone_at = coalesce(gone_at, now())
from had
where resources.uid = had.uid
