"""The code that runs begin with."""
