-- Purpose: give the cluster that this database belongs to; no row when it belongs to none yet.
-- Parameters: none.
-- Locks: none.
select cluster_uid, tied_at from installation
