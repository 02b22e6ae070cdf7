"""What `up` makes sure of before it starts anything: each refusal is one sentence."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.domain.errors import ConfigurationError

LOCK_FILE = "up.lock"
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}


@contextmanager
def only_one_here(data_dir: Path) -> Iterator[None]:
    """Hold the data directory's lock; the kernel drops it with this process, so it is never stale.

    Raises `ConfigurationError` naming the process that has it.
    """
    descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode().strip() or "?"
            raise ConfigurationError("up_running", pid=holder, data_dir=data_dir) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def claim_port(host: str, port: int) -> int:
    """The port to listen on, a free one for 0. Raises `ConfigurationError` when host or port can't be had.

    Several workers share the port later, so it is only tried here and let go again.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise ConfigurationError("bad_host", host=host) from None
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As gunicorn does: what remains of connections that have ended does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise _refusal(error, host, port) from error
        return int(probe.getsockname()[1])


def _refusal(error: OSError, host: str, port: int) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError("port_taken", host=host, port=port)
    if error.errno in {errno.EACCES, errno.EPERM}:
        return ConfigurationError("port_forbidden", port=port)
    return ConfigurationError("bad_host", host=host)


def url_of(host: str, port: int) -> str:
    """The address to open in a browser on this machine."""
    host = ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
