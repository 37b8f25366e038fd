-- Purpose: let one ingest run at a time, until the transaction ends: run numbers are given without gaps, a uid gets one.
-- Parameters: none.
-- Locks: the advisory lock of ingest, before any row.
select pg_advisory_xact_lock(hashtext('perdure.resources'))
