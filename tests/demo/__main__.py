"""`python -m tests.demo`, behind `make demo`: exit code 0 when everything came out right, 1 when not, 130 on Ctrl-C."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from perdure import PerdureError
from tests.cluster.errors import ClusterError
from tests.demo import cast, story
from tests.demo.show import Show

INTERRUPTED = 130
"""What a shell gives for a program that ended by SIGINT."""


def main() -> int:
    """Play, and say how it ended."""
    for how in story.INTERRUPTS:
        if signal.getsignal(how) is not signal.SIG_IGN:  # `nohup` and `&` mean it
            signal.signal(how, _interrupt)
    show = Show()
    try:
        story.play(show)
    except KeyboardInterrupt:
        show.failure(f"Interrupted after {show.elapsed}.")
        return INTERRUPTED
    except (story.DemoError, cast.ProcessError, ClusterError, PerdureError) as error:
        show.failure(f"{error} (after {show.elapsed})")
        return 1
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    story.ignore_interrupts()
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
