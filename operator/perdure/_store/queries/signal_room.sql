-- Purpose: count the signals of instances that their code has not waited for, so that a turn sends no more than they take.
--     Those that have ended, or are not there, are left out: they take none, and that is no error.
-- Parameters: $1 instance_ids text[].
-- Locks: none; what others send at this moment is not seen.
select
    i.instance_id,
    i.buffered_signals
    + (select count(*) from inbox m where m.instance_id = i.instance_id and m.kind = 'Signal') as unconsumed
from instances i
where i.instance_id = any($1::text[]) and i.finished_at is null
