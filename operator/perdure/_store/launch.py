"""Become another program, tied to the life of the process that started this one.

Run as a script (`python -I -S launch.py PARENT SIGNAL UID GID PROGRAM ...`), never imported: it gives up root, asks
the kernel for a signal at its parent's death, and replaces itself by the program. A script of its own and not a
`preexec_fn`, because Python code between fork and exec can deadlock in a process with threads, and because the kernel
forgets the request when the user id changes: the order of the three steps is the point. It knows the standard library
only.

The request belongs to the *thread* that forked (prctl(2), PR_SET_PDEATHSIG): whoever runs this must do so from a thread
that lives as long as the program should, see `child.py`. Elsewhere than on Linux there is no such request; the program
then outlives a killed parent and is ended by the next start on its folder.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Drop rights, tie the knot, become the program; leave silently when the parent is already gone."""
    parent, death_signal, uid, gid = (int(word) for word in arguments[:4])
    program = arguments[4:]
    os.umask(0o077)
    if uid != os.geteuid():
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit(0)
    os.execv(program[0], program)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
