-- Purpose: after a claim of unknown outcome, read back what this worker owns, and what of it is paused (I8).
-- Parameters: $1 owner uuid.
-- Locks: none.
select instance_id, is_suspended from instances where owner_id = $1::uuid
