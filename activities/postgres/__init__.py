"""Activities around one Postgres server: deploy it, wait for it, connect to it."""
