-- Purpose: the schema, and the list of what was applied to it; runs before every migration, so it is none itself.
-- Parameters: none.
-- Locks: none that last; the caller holds the migration lock.
do $$
begin
    -- Asked first: `if not exists` wants the right to create it also where somebody has made it beforehand.
    if not exists (select from pg_catalog.pg_namespace where nspname = 'inventory') then
        create schema inventory;
    end if;
end
$$;
create table if not exists inventory.migrations (
    number     integer     primary key,
    name       text        not null,
    checksum   text        not null,
    applied_at timestamptz not null default now()
);
