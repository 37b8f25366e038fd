"""A real Kubernetes API server for the tests, by one command or one fixture.

The package finds a cluster (`choice`), or makes one: Go programs are built once into a cache folder (`toolchain`)
and run on loopback (`control_plane`) with a stand-in for the kubelet (`kubelet`), all below one process that owns
them (`supervisor`). What a test holds in its hands is a `handle.Cluster`; the pytest fixtures are in `plugin`, and
`python -m tests.cluster up` is behind `make cluster-up`.

It knows nothing of Perdure but the folder of its custom resource definitions, and it never reads the kubectl
context that happens to be current: every program it starts is told its kubeconfig by name.
"""
