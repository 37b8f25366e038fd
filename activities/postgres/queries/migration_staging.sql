-- Purpose: make the table that a chunk is read into: the columns of its target and no constraint; gone at the commit.
-- Parameters: none.
-- Names: columns, schema, table.
-- Locks: none that another connection sees.
create temporary table perdure_chunk on commit drop as
select :"columns" from :"schema".:"table" with no data;
