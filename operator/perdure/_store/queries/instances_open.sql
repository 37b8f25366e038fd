-- Purpose: count the instances that have not ended, by orchestration, version and phase.
-- Parameters: none.
-- Locks: none. Reads what is open only, by the words of the index instances_open: a million finished ones cost nothing.
select name, version, phase, count(*) as instances
from instances
where num_nulls(finished_at) = 1
group by name, version, phase
