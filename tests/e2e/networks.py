"""Networks of a test's own: namespaces of the kernel with a pair of virtual cards between them. The machine's network is never touched."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from backend.cli.testing import find_program
from config import ROOT

INSIDE = "CASCADE_TEST_INSIDE_ITS_OWN_NETWORK"
SET_UP = "ip link set lo up && echo ready && exec cat"
NETWORK = 0x40000000
"""CLONE_NEWNET of sched.h."""


def is_inside() -> bool:
    """Whether this process was started by `run_inside`."""
    return INSIDE in os.environ


def run_inside(test: str, folder: Path, seconds: float) -> None:
    """Run one test again, in a network of its own where it may make others; it fails when the test fails there.

    It fails too where the machine allows no such network: a test that is left out would look like one that has passed.
    """
    pytest_words = ("-m", "pytest", test, "-p", "no:randomly", "--basetemp", str(folder / "inside"))
    done = subprocess.run(
        [*_way_in(), "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *pytest_words],
        cwd=ROOT,
        env=os.environ | {INSIDE: "1"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"in its own network:\n{done.stdout[-6000:]}{done.stderr[-2000:]}", pytrace=False)


def _way_in() -> Sequence[str]:
    """How this user gets a network: as root of a user namespace, or as root of the machine."""
    said = ""
    for way in (("--map-root-user", "--net"), ("--net",)):
        words = [find_program("unshare"), "--kill-child", "--fork", *way]
        tried = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return words
        said += tried.stderr
    reason = f"this machine lets nobody make network namespaces, which the test needs ({said.strip()})"
    pytest.fail(f"{reason}: allow user namespaces, or run the tests as root", pytrace=False)


class Network:
    """A namespace with a loopback of its own, linked to ours at 10.77.<number>.1; there it is 10.77.<number>.2."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.near, self.far = f"near{number}", f"far{number}"
        words = [find_program("unshare"), "--net", "sh", "-c", SET_UP]
        # It holds the namespace, and ends when its standard input does: with us at the latest.
        self.holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"ready\n"
        peer = ("type", "veth", "peer", "name", self.far, "netns", str(self.holder.pid))
        _ip("link", "add", self.near, *peer)
        _ip("address", "add", f"{self.address}/24", "dev", self.near)
        _ip("link", "set", self.near, "up")
        _ip("address", "add", f"10.77.{self.number}.2/24", "dev", self.far, inside=self)
        _ip("link", "set", self.far, "up", inside=self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.holder.communicate()

    @property
    def address(self) -> str:
        """Ours, as it is seen from there."""
        return f"10.77.{self.number}.1"

    @property
    def entrance(self) -> Sequence[str]:
        """The words before a command that is to run there."""
        return (find_program("nsenter"), f"--net={self._path}")

    @property
    def _path(self) -> str:
        return f"/proc/{self.holder.pid}/ns/net"

    def cut_off(self) -> None:
        """Take the link down: what is sent is lost, and nobody is told."""
        _ip("link", "set", self.near, "down")

    def connect(self) -> None:
        """Bring the link up again."""
        _ip("link", "set", self.near, "up")

    def listen_there(self, port: int) -> socket.socket:
        """A socket of this process on that network's own loopback, which needs no link."""
        with self._stay():
            return socket.create_server(("127.0.0.1", port))

    @contextmanager
    def _stay(self) -> Iterator[None]:
        """This thread is there for a moment; a socket stays where it was made."""
        with Path("/proc/thread-self/ns/net").open("rb") as here, Path(self._path).open("rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())


def _enter(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*words: str, inside: Network | None = None) -> None:
    entrance = () if inside is None else inside.entrance
    subprocess.run([*entrance, find_program("ip"), *words], check=True)
