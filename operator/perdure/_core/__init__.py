"""The pure core: what durable code means, without a clock, without I/O, without a database.

Values in, values out. Time and ids are arguments. Nothing here imports asyncio, asyncpg, kopf or kubernetes, so every
rule of replay can be read, tested and explained on its own.
"""
