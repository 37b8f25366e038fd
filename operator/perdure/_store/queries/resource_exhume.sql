-- Purpose: take tombstones away: a run of that name was adopted, or another one begun, or the resource lives on.
-- Parameters, one array element a name: $1 namespaces  $2 names.
-- Locks: tombstones.
delete from tombstones
where (namespace, name) in (select w.namespace, w.name from unnest($1::text[], $2::text[]) as w (namespace, name))
