"""Two deployments of the same orchestrations, that do not fit each other."""
