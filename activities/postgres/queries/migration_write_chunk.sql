-- Purpose: write the rows of a chunk; one whose key is there already stays as it is.
-- Parameters: none.
-- Names: columns, schema, table, key.
-- Locks: the new rows; waits for whoever writes the same keys at this moment.
insert into :"schema".:"table" (:"columns") overriding system value
select :"columns" from perdure_chunk
on conflict (:"key") do nothing;
