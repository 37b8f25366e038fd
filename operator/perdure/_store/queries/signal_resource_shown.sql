-- Purpose: remember the statuses of signal resources that the API server took.
-- Parameters, one array element per resource: $1 uid  $2 revision that it shows  $3 status (JSON).
-- Locks: signal_resources by uid.
with wrote as (
    select wanted.*
    from unnest($1::uuid[], $2::integer[], $3::bytea[]) as wanted (uid, revision, new_status)
    inner join signal_resources on signal_resources.uid = wanted.uid
    where wanted.revision > signal_resources.shown_revision
    order by wanted.uid
    for update of signal_resources
)

update signal_resources
set shown_revision = wrote.revision, status = wrote.new_status
from wrote
-- Once more on the row as it is: another controller may have shown more while this waited for it.
where signal_resources.uid = wrote.uid and wrote.revision > signal_resources.shown_revision
