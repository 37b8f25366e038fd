-- Which cluster this database belongs to, and which workers have a way to one.

create table installation (
    is_the_only_row boolean primary key default true,
    cluster_uid uuid not null,
    tied_at timestamptz not null default now(),
    constraint installation_is_one check (is_the_only_row)
);
comment on table installation is
    'The cluster whose resources this database knows, by the uid of its namespace kube-system. No row: no operator yet.';

alter table workers add column has_cluster boolean not null default true;
comment on column workers.has_cluster is
    'It can act as a ServiceAccount. One that cannot takes no run of a resource (instances.run_as), and no task of one.';
