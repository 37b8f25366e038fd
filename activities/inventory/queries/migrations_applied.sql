-- Purpose: list what was applied, oldest first.
-- Parameters: none.
-- Locks: none.
select number, name, checksum from inventory.migrations order by number;
