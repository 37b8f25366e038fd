"""An application package for the demo: a journey of some legs, each a step that takes a while and leaves a trace.

Loaded by its name in `PERDURE_MODULES`, as a package of a user is. It knows the public API and the offered activities.
"""
