"""The offered orchestrations: one file each. An application package, like the one a user adds.

Everything here is replayed: no clock, no chance, no I/O but through `ctx`. It knows the activities and the public API.
"""
