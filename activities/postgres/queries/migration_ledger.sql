-- Purpose: make the table that says which chunks there are and which are copied, in the database that rows go to.
-- Parameters: none.
-- Locks: the catalog; under the lock of plans, since two at once would make it twice.
create table if not exists perdure_migration (
    migration_id text not null,
    table_name text not null,
    chunk integer not null,
    after_key text, -- null: from the beginning
    upto_key text not null,
    planned_rows bigint not null,
    rows bigint, -- null: not copied yet
    copied_at timestamptz,
    primary key (migration_id, table_name, chunk)
);
