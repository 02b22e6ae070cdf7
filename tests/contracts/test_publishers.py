"""What every publisher of the entry point group `cascade.publishers` promises, whoever wrote it.

A new publisher adds its rig below: one line that says what speaks its wire, and what its credentials look like.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points

import pytest

from backend.domain.errors import CascadeError, WorkError
from backend.domain.messages import CATALOGUE
from backend.domain.ports import Desk, Publisher
from backend.domain.publishing import (
    Cookie,
    CredentialKind,
    Credentials,
    DraftSaved,
    Finding,
    Health,
    Manuscript,
    Prepared,
    Presence,
    Published,
    PublishOrder,
)
from backend.outbound.client import GuardedHttpClient
from backend.outbound.elsewhere import ElsewhereHttpClient
from tests.standins import metaweblog, wordpress
from tests.standins.csdn import APP_SECRET, CsdnServer
from tests.standins.juejin import JuejinServer
from tests.standins.metaweblog import MetaWeblogServer
from tests.standins.platform import Kind, PlatformServer
from tests.standins.webhook_receiver import HOST, WebhookReceiver
from tests.standins.wordpress import WordPressServer
from tests.standins.zhihu import ZhihuServer
from tests.standins.zhihu_open_api import ZhihuOpenApi

LOOPBACK = ("127.0.0.0/8",)
SECRET = "s3cr3t|of|the|account"
FOUND = {entry.name: entry for entry in entry_points(group="cascade.publishers")}


@dataclass(frozen=True)
class Rig:
    """How a platform is stood in for, and the credentials of its account `alice` whose session or secret is `SECRET`.

    `human_checks`: it may ask for a captcha. `drafts`: it keeps drafts. `asked`: these credentials let it be asked anything.
    """

    server: Callable[[], PlatformServer]
    credentials: Credentials
    human_checks: bool = True
    drafts: bool = True
    asked: bool = True
    options: dict[str, str] = field(default_factory=dict)


RIGS = {
    "csdn": Rig(
        CsdnServer,
        Credentials((Cookie("UserName", "alice"), Cookie("UserToken", SECRET, "csdn.net"))),
        human_checks=False,
        options={"csdn.app_secret": APP_SECRET},
    ),
    "juejin": Rig(JuejinServer, Credentials((Cookie("sessionid", SECRET, "juejin.cn"),)), human_checks=False),
    "metaweblog": Rig(
        MetaWeblogServer,
        Credentials(fields={"url": f"https://{metaweblog.HOST}", "username": "alice", "password": SECRET}),
        human_checks=False,
    ),
    "webhook": Rig(
        WebhookReceiver,
        Credentials(fields={"url": f"https://{HOST}/articles?from=us", "secret": SECRET}),
        human_checks=False,
        drafts=False,
    ),
    "wordpress": Rig(
        WordPressServer,
        Credentials(fields={"url": f"https://{wordpress.HOST}/", "username": "alice", "password": SECRET}),
        human_checks=False,
    ),
    "zhihu by key": Rig(
        ZhihuOpenApi,
        Credentials(fields={"app_key": "alice", "app_secret": SECRET}),
        human_checks=False,
        drafts=False,
        asked=False,
    ),
    "zhihu": Rig(ZhihuServer, Credentials((Cookie("z_c0", SECRET), Cookie("_xsrf", "a%7Cb", "zhihu.com")))),
}
ARTICLE = Manuscript(
    "A title", "# Head\n\nText with **bold** words.\n\n```python\nprint(1)\n```\n", tags=("Python",)
)


@dataclass
class Setup:
    """One publisher, as its entry point gives it, and the stand-in that it talks to."""

    publisher: Publisher
    server: PlatformServer
    rig: Rig
    seconds_left: float = 60.0
    told: list[str] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)
    orders: int = 0

    @property
    def desk(self) -> Desk:
        """A desk whose HTTP leads to the stand-in through the real client."""
        http = ElsewhereHttpClient(GuardedHttpClient(LOOPBACK, environ={}), self.server.elsewhere)
        return Desk(http, self.told.append, lambda _: False, lambda: self.seconds_left, self.rig.options)

    def order(self, title: str = ARTICLE.title, draft: bool = False) -> PublishOrder:
        """A new publish task of the account."""
        self.orders += 1
        article = dataclasses.replace(ARTICLE, title=title, draft=draft)
        name = self.publisher.platform
        key = f"key-{self.orders}"
        return PublishOrder(f"t-{self.orders}", "account", name, 3, self.rig.credentials, article, key=key)

    @property
    def finds(self) -> bool:
        """Whether it can be asked what is there."""
        return self.publisher.promise.finds and self.rig.asked

    @property
    def repeatable(self) -> bool:
        """Whether publishing again makes no second article."""
        return self.publisher.promise.repeatable and self.rig.asked

    def prepare(self, order: PublishOrder) -> tuple[PublishOrder, Prepared]:
        """Prepare it; the order as every later execution gets it."""
        prepared = self.publisher.prepare(order, self.desk, self._save)
        return dataclasses.replace(order, draft_id=prepared.draft_id), prepared

    def _save(self, checkpoint: DraftSaved) -> None:
        self.saved.append(checkpoint.draft_id)

    def submit(self, order: PublishOrder) -> tuple[PublishOrder, Prepared]:
        """Everything up to the call that publishes: the order as a later execution gets it."""
        order, prepared = self.prepare(order)
        known = self.publisher.recent_ids(order, self.desk)
        return dataclasses.replace(order, known_ids=known, submitted_at=datetime.now(UTC)), prepared

    def publish(self, order: PublishOrder | None = None) -> Published:
        """The whole way."""
        order, prepared = self.submit(order or self.order())
        return self.publisher.publish(order, prepared, self.desk)

    def find(self, order: PublishOrder) -> Finding:
        """Ask the platform."""
        return self.publisher.find_published(order, self.desk)

    def failure(self, work: Callable[[], object]) -> WorkError:
        """The error of work that must fail, which never shows the account's secret."""
        with pytest.raises(WorkError) as failed:
            work()
        for text in (str(failed.value), failed.value.sentence("zh"), failed.value.detail, repr(failed.value)):
            assert SECRET not in text
        assert failed.value.code in CATALOGUE
        return failed.value


@pytest.fixture(params=sorted(RIGS))
def setup(request: pytest.FixtureRequest) -> Iterator[Setup]:
    """Every publisher that is installed, with its rigs."""
    name = request.param
    with RIGS[name].server() as server:
        server.add_account("alice", secret=SECRET)
        yield Setup(FOUND[name.partition(" ")[0]].load()(), server, RIGS[name])


def test_every_installed_publisher_has_a_rig() -> None:
    assert {name.partition(" ")[0] for name in RIGS} == FOUND.keys(), f"add a rig to {__file__}"


def test_our_own_publishers_are_found() -> None:
    assert {"webhook", "zhihu"} <= FOUND.keys()


def test_it_says_what_it_is_and_what_it_promises(setup: Setup) -> None:
    publisher = setup.publisher
    assert publisher.platform in RIGS
    assert publisher.credential_kinds
    assert publisher.credential_kinds <= set(CredentialKind)
    assert publisher.login_kinds <= {"qr", "password"}
    # What can neither be asked for nor repeated would leave every doubt to a person.
    assert publisher.promise.repeatable or publisher.promise.finds
    assert publisher.promise.quiet_seconds > 0


def test_good_credentials_have_no_troubles_and_none_are_told_in_both_languages(setup: Setup) -> None:
    assert setup.publisher.credential_troubles(setup.rig.credentials) == ()
    _tell_people(setup.publisher.credential_troubles(Credentials()))


def test_what_it_can_not_take_is_told_before_anything_is_sent(setup: Setup) -> None:
    assert setup.publisher.refusals(ARTICLE) == ()
    for article in (
        Manuscript("", "text"),
        Manuscript("title", "  "),
        Manuscript("title", "<script>x</script>", "html"),
    ):
        _tell_people(setup.publisher.refusals(article))
        order = dataclasses.replace(setup.order(), manuscript=article)
        error = setup.failure(lambda order=order: setup.prepare(order))  # type: ignore[misc]
        assert (error.code, error.permanent) == ("rejected", True)
    assert setup.server.calls == []


def _tell_people(troubles: tuple[CascadeError, ...]) -> None:
    assert troubles
    for one in troubles:
        assert one.sentence("en") != one.sentence("zh") != one.code
        assert "?" not in one.sentence("en")


def test_a_check_tells_who_is_logged_in(setup: Setup) -> None:
    verdict = setup.publisher.check_session("account", 3, setup.rig.credentials, setup.desk)
    assert (verdict.account_id, verdict.credential_version, verdict.health) == ("account", 3, Health.OK)
    assert verdict.profile
    assert verdict.refreshed is None


@pytest.mark.parametrize(
    ("fault", "health", "code"),
    [
        (Kind.EXPIRE, Health.EXPIRED, "session_expired"),
        (Kind.CAPTCHA, Health.NEEDS_LOGIN, "login_required"),
        (Kind.RATE_LIMIT, Health.COOLING, "rate_limited"),
    ],
)
def test_a_check_tells_what_is_wrong_with_the_account(
    setup: Setup, fault: Kind, health: Health, code: str
) -> None:
    if not setup.rig.asked or (fault is Kind.CAPTCHA and not setup.rig.human_checks):
        return
    setup.server.tell(fault, call="check", seconds=90)
    verdict = setup.publisher.check_session("account", 3, setup.rig.credentials, setup.desk)
    assert (verdict.health, verdict.code) == (health, code)
    assert verdict.reason
    assert SECRET not in verdict.reason
    if health is Health.COOLING:
        assert verdict.until is not None
        assert abs(verdict.until - datetime.now(UTC) - timedelta(seconds=90)) < timedelta(seconds=10)


def test_a_check_that_gets_no_answer_says_nothing_about_the_account(setup: Setup) -> None:
    if not setup.rig.asked:
        return
    setup.server.tell(Kind.FAIL, call="check")
    error = setup.failure(
        lambda: setup.publisher.check_session("account", 3, setup.rig.credentials, setup.desk)
    )
    assert (error.code, error.permanent) == ("platform_failed", False)


def test_an_article_is_published_once_and_has_its_address(setup: Setup) -> None:
    published = setup.publish()
    assert published.platform_id
    assert published.url.startswith("https://")
    assert setup.server.articles() == {("alice", "A title"): 1}
    assert len(setup.server.journal()) == 1
    assert setup.told or not setup.rig.drafts


def test_a_draft_is_saved_at_once_continued_by_later_attempts_and_stays_unpublished(setup: Setup) -> None:
    if not setup.rig.drafts:
        order = setup.order(draft=True)
        assert setup.failure(lambda: setup.prepare(order)).code == "rejected"
        return
    order, first = setup.prepare(setup.order(draft=True))
    assert first.url
    _, second = setup.prepare(order)
    assert [first.draft_id] == setup.saved == [second.draft_id]
    assert setup.server.journal() == []


def test_a_draft_whose_further_steps_break_is_known_all_the_same(setup: Setup) -> None:
    if not setup.rig.drafts:
        return
    setup.server.tell(Kind.BREAK, call="save", times=1)
    error = setup.failure(lambda: setup.prepare(setup.order()))
    # To make a draft again harms nobody: no person has to look.
    assert (error.permanent, error.ambiguous) == (False, False)
    assert len(setup.saved) == 1


def test_a_refusal_is_final_and_keeps_the_platforms_words(setup: Setup) -> None:
    setup.server.tell(Kind.REFUSE, call="publish", text=f"内容违规 {SECRET}")
    error = setup.failure(setup.publish)
    assert (error.code, error.permanent, error.ambiguous) == ("rejected", True, False)
    assert "内容违规 ***" in error.detail
    assert setup.server.journal() == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Kind.EXPIRE, "session_expired"),
        (Kind.CAPTCHA, "login_required"),
        (Kind.RATE_LIMIT, "rate_limited"),
        (Kind.RISK, "rate_limited"),
    ],
)
@pytest.mark.parametrize("call", ["draft", "publish"])
def test_trouble_with_the_account_is_told_by_its_code_and_publishes_nothing(
    setup: Setup, fault: Kind, code: str, call: str
) -> None:
    if (fault in {Kind.CAPTCHA, Kind.RISK} and not setup.rig.human_checks) or (
        call == "draft" and not setup.rig.drafts
    ):
        return
    setup.server.tell(fault, call=call, seconds=120)
    error = setup.failure(setup.publish)
    assert (error.code, error.permanent, error.ambiguous) == (code, False, False)
    if code == "rate_limited":
        assert (error.retry_after or 0) >= 120
    assert setup.server.journal() == []


def test_published_and_then_broken_is_ambiguous_and_found_or_harmless_to_repeat(setup: Setup) -> None:
    order, prepared = setup.submit(setup.order())
    setup.server.tell(Kind.DO_AND_BREAK, call="publish", times=1)
    error = setup.failure(lambda: setup.publisher.publish(order, prepared, setup.desk))
    assert (error.permanent, error.ambiguous) == (False, True)
    assert len(setup.server.journal()) == 1
    finding = setup.find(order)
    if setup.finds:
        assert finding.presence is Presence.THERE
        assert finding.published is not None
        assert finding.published.platform_id == setup.server.journal()[0].article_id
        assert finding.published.url.startswith("https://")
    elif setup.repeatable:
        # Its repeat is told by the key.
        assert finding.presence is Presence.NOT_THERE
        assert finding.reason
        setup.publisher.publish(order, prepared, setup.desk)
    else:
        # Whoever can't be asked leaves every doubt to a person.
        assert (finding.presence, bool(finding.reason)) == (Presence.UNKNOWN, True)
    assert setup.server.articles() == {("alice", "A title"): 1}


@pytest.mark.parametrize("fault", [Kind.DO_AND_FAIL, Kind.FAIL])
def test_a_5xx_to_the_call_that_publishes_is_ambiguous(setup: Setup, fault: Kind) -> None:
    setup.server.tell(fault, call="publish", times=1)
    error = setup.failure(setup.publish)
    assert (error.code, error.permanent, error.ambiguous) == ("platform_failed", False, True)


def test_no_answer_in_time_to_the_call_that_publishes_is_ambiguous(setup: Setup) -> None:
    order, prepared = setup.submit(setup.order())
    setup.server.tell(Kind.SLOW, call="publish", seconds=5)
    setup.seconds_left = 0.2
    begun = time.monotonic()
    error = setup.failure(lambda: setup.publisher.publish(order, prepared, setup.desk))
    assert (error.code, error.ambiguous) == ("timed_out", True)
    assert time.monotonic() - begun < 4


def test_a_platform_that_is_not_there_is_tried_again_without_a_doubt(setup: Setup) -> None:
    order, prepared = setup.submit(setup.order())
    setup.server.__exit__()
    error = setup.failure(lambda: setup.publisher.publish(order, prepared, setup.desk))
    assert (error.code, error.permanent, error.ambiguous) == ("connect_failed", False, False)


def test_what_never_arrived_is_not_there_and_published_again_it_is_one_article(setup: Setup) -> None:
    order, prepared = setup.submit(setup.order())
    setup.server.tell(Kind.BREAK, call="publish", times=1)
    setup.failure(lambda: setup.publisher.publish(order, prepared, setup.desk))
    assert setup.find(order).presence is (Presence.NOT_THERE if setup.rig.asked else Presence.UNKNOWN)
    if setup.repeatable:
        setup.publisher.publish(order, prepared, setup.desk)
        assert setup.server.articles() == {("alice", "A title"): 1}


def test_repeatable_means_that_the_same_draft_or_key_gives_the_same_article(setup: Setup) -> None:
    if not setup.repeatable:
        return
    order, prepared = setup.submit(setup.order())
    first = setup.publisher.publish(order, prepared, setup.desk)
    assert setup.publisher.publish(order, prepared, setup.desk) == first
    assert [one.again for one in setup.server.journal()] == [False, True]
    assert len(setup.server.articles()) == 1


def test_hidden_lists_and_drafts_mean_that_nobody_knows(setup: Setup) -> None:
    if not setup.finds:
        return
    order, prepared = setup.submit(setup.order())
    setup.server.tell(Kind.DO_AND_BREAK, call="publish", times=1)
    setup.failure(lambda: setup.publisher.publish(order, prepared, setup.desk))
    for call in ("read", "list", "page"):
        setup.server.tell(Kind.HIDE, call=call)
    finding = setup.find(order)
    assert finding.presence is Presence.UNKNOWN
    assert finding.reason
    setup.server.heal()
    assert setup.find(order).presence is Presence.THERE


def test_an_older_article_with_the_same_title_is_not_taken_for_it(setup: Setup) -> None:
    if not setup.finds:
        return
    setup.publish()
    order, _ = setup.submit(setup.order())
    assert order.known_ids
    assert setup.find(order).presence is Presence.NOT_THERE
    setup.server.tell(Kind.HIDE, call="read")
    assert setup.find(order).presence is not Presence.THERE


@pytest.mark.parametrize("fault", [Kind.EXPIRE, Kind.RATE_LIMIT])
def test_trouble_with_the_account_while_looking_is_no_answer_about_the_article(
    setup: Setup, fault: Kind
) -> None:
    if not setup.finds:
        return
    order, prepared = setup.submit(setup.order())
    setup.publisher.publish(order, prepared, setup.desk)
    setup.server.tell(fault, seconds=60)
    assert setup.failure(lambda: setup.find(order)).code in {"session_expired", "rate_limited"}


def test_a_login_that_it_does_not_know_is_refused_with_a_sentence(setup: Setup) -> None:
    if setup.publisher.login_kinds:
        return
    error = setup.failure(
        lambda: setup.publisher.log_in("account", 3, setup.rig.credentials, setup.desk, lambda _: None)
    )
    assert (error.code, error.permanent) == ("login_unknown", True)
