"""The store: the only room with SQL, and the only one that speaks to Postgres.

Statements live in `queries/`, the schema in `migrations/`. It knows tables and connections; it must not know what a
turn means, who runs it, or that there is Kubernetes.
"""
