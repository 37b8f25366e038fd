"""`python -m tests.cluster up|down|path`: the command line behind `make cluster-up` and `make cluster-down`."""

import argparse
import os
import sys

from tests.cluster import choice
from tests.cluster.errors import ClusterError
from tests.cluster.finding import TITLES, Finder
from tests.cluster.progress import Progress
from tests.cluster.standing import StandingCluster
from tests.cluster.toolchain import PROGRAMS


def main() -> int:
    """Do what the command line asks; print errors without a traceback, with exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="A real API server by one command.")
    actions = parser.add_subparsers(required=True)
    up = actions.add_parser("up", help="bring a cluster up and write .cluster/kubeconfig")
    default = f"default: ${choice.WANTED_VARIABLE}, else auto"
    up.add_argument("--cluster", choices=choice.WANTED, default=None, help=default)
    up.set_defaults(act=_up)
    actions.add_parser("down", help="remove what `up` made").set_defaults(act=_down)
    path = actions.add_parser("path", help="print the path of a program, after building it if need be")
    path.add_argument("program", choices=sorted(PROGRAMS))
    path.set_defaults(act=_path)
    given = parser.parse_args()
    try:
        given.act(given, choice.look_around(), Progress(sys.stderr))
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


def _up(given: argparse.Namespace, around: choice.Surroundings, progress: Progress) -> None:
    standing = StandingCluster(around, progress)
    kind = standing.up(given.cluster or choice.wanted_from(os.environ))
    print(f"cluster: {TITLES[kind]} is up; its kubeconfig is {standing.kubeconfig}")


def _down(_given: argparse.Namespace, around: choice.Surroundings, progress: Progress) -> None:
    kind = StandingCluster(around, progress).down()
    print("cluster: there was none" if kind is None else f"cluster: {TITLES[kind]} is down")


def _path(given: argparse.Namespace, around: choice.Surroundings, progress: Progress) -> None:
    print(Finder(around, progress).program(given.program))


if __name__ == "__main__":
    sys.exit(main())
