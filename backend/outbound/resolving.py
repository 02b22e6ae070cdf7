"""Names to addresses: one resolution per connection, within a time limit, every address checked."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.domain.errors import WorkError
from backend.outbound.addresses import Network, judge, refusal_error

Resolver = Callable[[str, int, float], Sequence[str]]
"""Host, port and seconds to the host's addresses. Raises `OSError`; `TimeoutError` when time is up."""


def system_addresses(host: str, port: int, seconds: float) -> list[str]:
    """What the system's resolver answers, in its order."""
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()
    # getaddrinfo takes no time limit, so it gets a thread that nobody waits for longer than the limit.
    threading.Thread(target=_look_up, args=(host, port, answers), daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("the resolver does not answer") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _look_up(host: str, port: int, answers: queue.SimpleQueue[list[str] | OSError]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        # A label that is empty or over 63 characters never reaches the resolver.
        answers.put(socket.gaierror(socket.EAI_NONAME, str(error)))
    except OSError as error:
        answers.put(error)
    else:
        answers.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))


def literal_address(host: str) -> str | None:
    """The host itself when it is an address already."""
    bare = host.strip("[]")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return None
    return bare


@dataclass(frozen=True, slots=True)
class Guard:
    """Resolves a host and lets only checked addresses through.

    `trusting` is for proxies: the operator named them, so their addresses are not checked.
    """

    allowed: tuple[Network, ...] = ()
    resolve: Resolver = system_addresses
    trusting: bool = False

    def addresses(self, host: str, port: int, seconds: float) -> list[str]:
        """The addresses to connect to, in order. Raises `WorkError`: dns_failed, timed_out, egress_refused."""
        literal = literal_address(host)
        found = [literal] if literal is not None else list(self._resolved(host, port, seconds))
        if not self.trusting:
            # One bad address refuses the host: which one a later connection takes is not ours to decide.
            for address in found:
                self._check(host, address)
        return found

    def _resolved(self, host: str, port: int, seconds: float) -> Sequence[str]:
        try:
            found = self.resolve(host, port, seconds)
        except TimeoutError:
            raise WorkError("timed_out", host=host) from None
        except OSError as error:
            raise WorkError("dns_failed", host=host, detail=error.strerror or "") from None
        if not found:
            raise WorkError("dns_failed", host=host)
        return found

    def _check(self, host: str, address: str) -> None:
        refusal = judge(ipaddress.ip_address(address), self.allowed)
        if refusal is not None:
            raise refusal_error(host, refusal, self.allowed)
