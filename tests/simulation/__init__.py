"""The seeded simulation: workers, clients and faults in one event loop with virtual time, over a real Postgres."""
