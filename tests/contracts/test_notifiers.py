"""What every notifier of the entry point group `cascade.notifiers` promises, whoever wrote it.

A new notifier adds its rig below: how its messages reach the stand-in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

import pytest

from backend.domain.errors import WorkError
from backend.domain.messages import CATALOGUE
from backend.domain.orders import DeliveryOrder, FrozenMessage, Receipt
from backend.domain.ports import Notifier
from backend.domain.rendering import mock_order
from backend.outbound.adapter import install
from backend.outbound.client import GuardedHttpClient
from tests.standins.receivers import Behaviour, ReceiverServer

LOOPBACK = ("127.0.0.0/8",)
SECRET = "s3cr3tTokenOfTheReceiver"
FOUND = {entry.name: entry for entry in entry_points(group="cascade.notifiers")}


@dataclass(frozen=True)
class Rig:
    """How a notifier reaches the stand-in: an address that holds `SECRET`, and the path that it leads to.

    `refusal` is the service's own refusal with HTTP 200, where it has one.
    """

    url: Callable[[ReceiverServer], str]
    path: str
    refusal: dict[str, object] | None = None


RIGS = {
    "webhook": Rig(lambda server: server.url(f"/hook?token={SECRET}"), "/hook"),
    "robot": Rig(
        lambda server: f"bark://{server.netloc}/{SECRET}",
        "/push",
        {"code": 400, "message": f"failed to get device token: {SECRET}"},
    ),
}


@dataclass
class Setup:
    """One notifier, as its entry point gives it, and the stand-in that it talks to."""

    name: str
    notifier: Notifier
    server: ReceiverServer
    rig: Rig

    def send(self, http: GuardedHttpClient | None = None) -> Receipt:
        """Send one message through the real client."""
        return self.notifier.send(self.order, MESSAGE, http or GuardedHttpClient(LOOPBACK, environ={}))

    @property
    def order(self) -> DeliveryOrder:
        """The delivery."""
        order = mock_order("", 0, web_hook_url=self.rig.url(self.server))
        return replace(order, idempotency_key="one-key", cookies="", delivery_id="d-7")

    def failure(self) -> WorkError:
        """Send one message that must fail; the error, which never shows the receiver's secret."""
        with pytest.raises(WorkError) as failed:
            self.send()
        for text in (str(failed.value), failed.value.sentence("zh"), failed.value.detail, repr(failed.value)):
            assert SECRET not in text
        assert failed.value.code in CATALOGUE
        return failed.value


MESSAGE = FrozenMessage("Title", "Text of [an article](https://example.com/1)", "a warning")


@pytest.fixture(params=sorted(FOUND))
def setup(request: pytest.FixtureRequest) -> Iterator[Setup]:
    """Every notifier that is installed, with its rig."""
    name = request.param
    assert name in RIGS, f"add a rig for the notifier {name!r} to {__file__}"
    undo = install(LOOPBACK)
    with ReceiverServer() as server:
        yield Setup(name, FOUND[name].load()(), server, RIGS[name])
    undo()


def test_our_own_notifiers_are_found() -> None:
    assert {"webhook", "robot"} <= FOUND.keys()


def test_it_is_named_as_its_entry_point(setup: Setup) -> None:
    assert setup.notifier.name == setup.name
    assert isinstance(setup.notifier.recognises_repeats, bool)


def test_an_accepted_message_gives_a_receipt(setup: Setup) -> None:
    receipt = setup.send()
    assert (receipt.delivery_id, receipt.status_code, receipt.failure) == ("d-7", 200, None)
    assert 0 < len(receipt.excerpt) <= 500
    assert receipt.warning == "a warning"
    assert setup.server.articles_seen() == {"https://example.com/1": 1}


def test_a_notifier_that_recognises_repeats_sends_the_key_every_time(setup: Setup) -> None:
    setup.send()
    setup.send()
    keys = {each.idempotency_key for each in setup.server.requests()}
    assert keys == ({"one-key"} if setup.notifier.recognises_repeats else {""})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_4xx_is_final(setup: Setup, status: int) -> None:
    setup.server.tell(setup.rig.path, Behaviour(status, answer=f"no such thing as {SECRET}"))
    error = setup.failure()
    assert (error.permanent, error.ambiguous) == (True, False)
    assert error.response_status == status
    assert str(status) in error.detail
    assert "no such thing as ***" in error.detail


def test_a_429_is_tried_again_not_before_the_receiver_wants(setup: Setup) -> None:
    setup.server.tell(setup.rig.path, Behaviour(429, headers={"Retry-After": "60"}))
    error = setup.failure()
    assert (error.permanent, error.ambiguous, error.retry_after) == (False, False, 60.0)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_5xx_is_tried_again_and_can_succeed_then(setup: Setup, status: int) -> None:
    setup.server.tell(setup.rig.path, Behaviour(status, times=2))
    for _ in range(2):
        error = setup.failure()
        assert (error.permanent, error.ambiguous) == (False, False)
    assert setup.send().status_code == 200


def test_a_refusal_with_http_200_is_a_failure(setup: Setup) -> None:
    if setup.rig.refusal is None:
        # A plain web hook has no words of its own: any 2xx is its yes.
        assert setup.send().status_code == 200
        return
    setup.server.tell(setup.rig.path, Behaviour(answer=setup.rig.refusal))
    error = setup.failure()
    assert (error.permanent, error.ambiguous) == (True, False)
    assert "failed to get device token: ***" in error.detail


def test_a_connection_that_breaks_after_sending_is_ambiguous(setup: Setup) -> None:
    setup.server.tell(setup.rig.path, Behaviour(silent=True))
    error = setup.failure()
    assert (error.permanent, error.ambiguous) == (False, True)
    assert len(setup.server.requests()) == 1


def test_a_receiver_that_is_not_there_is_tried_again(setup: Setup) -> None:
    setup.server.__exit__()
    error = setup.failure()
    assert (error.code, error.permanent, error.ambiguous) == ("connect_failed", False, False)


def test_a_redirect_is_final_and_not_followed(setup: Setup) -> None:
    setup.server.tell(setup.rig.path, Behaviour(307, headers={"Location": setup.server.url("/elsewhere")}))
    error = setup.failure()
    assert (error.permanent, error.ambiguous) == (True, False)
    assert [each.path for each in setup.server.requests()] == [setup.rig.path]


def test_an_address_of_no_use_is_final(setup: Setup) -> None:
    order = replace(setup.order, web_hook_url="nonsense")
    with pytest.raises(WorkError) as failed:
        setup.notifier.send(order, MESSAGE, GuardedHttpClient(LOOPBACK, environ={}))
    assert failed.value.permanent
