-- How much runs may ask of the API server is one budget, whichever process asks.

-- Written many times a second, worth nothing a second later: a crash of the database may empty it.
create unlogged table api_budget (
    is_the_only_row boolean          primary key default true,
    tokens          double precision not null,
    refilled_at     timestamptz      not null default clock_timestamp(),
    granted         integer          not null,
    taken           bigint           not null,
    constraint api_budget_is_one check (is_the_only_row),
    constraint api_budget_counts_from_zero check (tokens >= 0 and granted >= 0 and taken >= 0)
);
comment on table api_budget is
    'The budget of requests to the API server that runs make, of all processes together. No row: nobody has asked yet.';
comment on column api_budget.tokens is 'Requests that may be made at refilled_at; at most those of one second, at least one.';
comment on column api_budget.refilled_at is 'In the future while the API server wants to be left alone.';
comment on column api_budget.granted is 'How many tokens the last one who asked has got.';
comment on column api_budget.taken is 'Tokens ever taken.';
