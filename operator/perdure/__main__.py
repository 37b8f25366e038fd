"""`python -m perdure`: the same as the command `perdure`. Nothing else happens here."""

from __future__ import annotations

from perdure.cli import main

if __name__ == "__main__":
    main()
