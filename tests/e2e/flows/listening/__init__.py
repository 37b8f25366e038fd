"""An orchestration that waits for signals."""
