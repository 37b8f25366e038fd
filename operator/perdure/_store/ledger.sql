-- Purpose: the list of what was applied; runs before every migration, which is why it is none itself.
-- Parameters: none.
-- Locks: none that last; the caller holds the migration lock.
create table if not exists perdure_migrations (
    number     integer     primary key,
    name       text        not null,
    checksum   text        not null,
    applied_at timestamptz not null default now()
);
