"""What can go wrong while a cluster is found or made.

These errors are shown to a developer at a terminal, never to a user of Perdure; so they have no `PERDURE-nnnn` code
and are not part of the error tree of the product.
"""

from collections.abc import Sequence


class ClusterError(Exception):
    """A cluster for the tests could not be found, made or reached; the message says what to do."""


class ProgramFailedError(ClusterError):
    """A program ended with an error, or did not get ready in time; the message has the end of what it said."""


class CommandFailedError(ProgramFailedError):
    """kubectl, helm or kind ended with an error; a test that expects one looks at the fields."""

    def __init__(self, command: Sequence[str], returncode: int, output: str, complaint: str) -> None:
        """Keep what was run, how it ended, and both of its streams."""
        super().__init__(f"{' '.join(command)}\nended with {returncode}:\n{complaint or output}")
        self.returncode = returncode
        self.output = output
        self.complaint = complaint
