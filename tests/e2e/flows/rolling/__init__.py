"""An application at work, before its update."""
