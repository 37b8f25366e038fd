"""Kubernetes: the resource, the watch, the status, the identity of runs, and the process that holds them together.

The only room that imports kopf and kubernetes. It turns resources into instances and instances into statuses; what a
run does and who owns it is the engine's, and every statement is the store's.
"""
