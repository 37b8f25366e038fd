"""An application for a worker without a cluster."""
