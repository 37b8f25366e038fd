"""An application that joins later."""
