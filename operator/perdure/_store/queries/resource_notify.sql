-- Purpose: tell workers that there is news, and waiting clients that a run may have ended.
-- Parameters: none.
-- Locks: none.
select pg_notify('perdure_wake', ''), pg_notify('perdure_finished', '')
