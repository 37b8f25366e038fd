-- Purpose: after a claim of unknown outcome, read back what this worker owns (I8).
-- Parameters: $1 owner uuid.
-- Locks: none.
select instance_id from instances where owner_id = $1::uuid
