-- Purpose: say how far a sequence has come.
-- Parameters: none.
-- Names: schema, sequence.
-- Locks: none.
select last_value, is_called from :"schema".:"sequence";
