"""Activities around one Postgres server: deploy, change, look at, back up, restore and delete it."""
