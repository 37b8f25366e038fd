"""The resources: what users write and what they read back.

Pydantic models are the one source: the CRDs in `crds/` are rendered from them, and `kubectl explain` shows their
descriptions. Nothing here talks to a server.
"""
