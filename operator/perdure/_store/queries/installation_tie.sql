-- Purpose: tie this database to a cluster unless it is tied to one, and give the one that it is tied to. No row when
--     somebody else tied it at this very moment: ask again.
-- Parameters: $1 uid of the cluster, $2 uid of the cluster that it is taken over from, or null.
-- Locks: the one row of installation.
with given as (
    insert into installation (cluster_uid) values ($1::uuid)
    on conflict (is_the_only_row) do update set cluster_uid = excluded.cluster_uid, tied_at = now()
    where installation.cluster_uid = $2::uuid
    returning cluster_uid
)
select cluster_uid from given
union all
select cluster_uid from installation where not exists (select from given)
