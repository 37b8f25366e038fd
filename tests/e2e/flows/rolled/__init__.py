"""The same application after its update: the old version is still there, beside the new one."""
