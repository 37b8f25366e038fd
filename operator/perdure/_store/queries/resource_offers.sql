-- Purpose: give what each live worker can run of the runs of resources, as arrays of name@version.
-- Parameters: none.
-- Locks: none.
select orchestrations from workers where lease_until > now() and has_cluster
