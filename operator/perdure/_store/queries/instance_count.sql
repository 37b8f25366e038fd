-- Purpose: count instances by orchestration, version and phase. Reads all of them.
-- Parameters: none.
-- Locks: none.
select name, version, phase, count(*) as instances
from instances
group by name, version, phase
order by name, version, phase
