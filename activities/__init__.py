"""The offered activities: one file each, grouped by domain. An application package, like the one a user adds.

It knows only the public API of Perdure. What it may not know: the engine, the store, and who schedules it.
"""
