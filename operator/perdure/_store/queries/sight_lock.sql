-- Purpose: let one ingest of a kind run at a time, until the transaction ends: what is known is compared with what was seen and
--     then written, run numbers are given without gaps, a uid gets one.
-- Parameters: $1 the table of the kind.
-- Locks: the advisory lock of that ingest, before any row.
select pg_advisory_xact_lock(hashtext('perdure.' || $1::text))
