"""Hands items in to a peer when told to: python -m benchmarks.peers.enqueue MODULE, then a line `FIRST LAST` on stdin."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Say `ready`; for each line hand in the items from FIRST to LAST and say `done`."""
    module = importlib.import_module(sys.argv[1])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        first, last = map(int, line.split())
        module.enqueue(range(first, last + 1))
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
