"""A worker dies at every await of every workflow, one run a place, and in the end nothing of it is to be seen."""
