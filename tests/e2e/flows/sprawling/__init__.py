"""A run that says too much everywhere, for those who look at how much of it is shown."""
