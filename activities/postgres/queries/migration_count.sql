-- Purpose: count the rows of a table.
-- Parameters: none.
-- Names: schema, table.
-- Locks: none.
select count(*) from :"schema".:"table";
