"""`make demo`: a play in five acts, from nothing to three finished runs, with a worker killed in the middle of one.

`story` is the plot, `cast` holds what it starts and ends (a cluster, a Postgres, operator processes), `show` what
people see of it, and `proof` what must have come out. `journey` is an application package like one that a user
adds: an orchestration long enough to be hit in its middle. `manifests` is what is applied, word for word.

Nothing here is a mock: the API server, the database, the processes and the signal are real. It touches no cluster
that stands already, but the one of `$TEST_KUBECONFIG`, and there only a namespace of its own.
"""
