"""What Argo CD concludes and does, by its own code.

To build that takes minutes and a gigabyte, so `make argo` runs these tests, and `make test` does not.
"""
