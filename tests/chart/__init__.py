"""The chart: what of it is generated (`python -m tests.chart`, behind `make chart`), and what holds it right.

Files are compared, templates are rendered by Helm itself, and what is rendered goes to a real API server. What its pods
do when they really run is not seen here: the stand-in for the kubelet only says that they do.
"""
