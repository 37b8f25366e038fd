"""The inventory: who holds which name, how it is, and what happened to it, in tables of a Postgres.

Its statements are files in `queries/`, its tables come from `migrations/`, and all of it lives in the schema
`inventory`. It knows neither Perdure's own tables nor how a database is reached.
"""
