"""Activities that make the Kubernetes API safe to use from durable code: idempotent, owned, cancellable."""
