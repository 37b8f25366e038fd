"""The peers: other engines that keep their state in Postgres, playing the same workloads against the same server.

`PEERS=1` installs them into a virtual environment of their own in the user's cache (`setting`) and runs each as a
process of its own (`run_absurd`, `run_dbos`) right after our own run of a workload, so that a ratio is of one machine
in one minute. What is measured, and how, is the same for all (`measure`). Their settings are the best that a short
sweep on two cores found. They run steps inside the workflow's process, as we do.
"""
