-- Purpose: give what each live worker can run, as arrays of name@version.
-- Parameters: none.
-- Locks: none.
select orchestrations from workers where lease_until > now()
