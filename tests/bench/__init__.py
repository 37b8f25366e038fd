"""How fast the house is: the workloads of the design, each a number with a goal.

`make bench ONLY=W1,W6` runs them (`__main__`) against an embedded, durable Postgres on this machine (`stage`), shows a
table and prints one JSON object as its last line (`report`). The workloads (`workloads`) are what users would write:
they go through the public API wherever a user would. Those of Orchestrations (`resources`) have an API server too, and
an operator in a process of its own.
"""
