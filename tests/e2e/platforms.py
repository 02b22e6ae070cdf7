"""Every platform that Cascade publishes on, each with its stand-in and an account, for tests of the whole system."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from backend.domain.publishing import Cookie, Credentials
from tests.standins import metaweblog, wordpress
from tests.standins.csdn import APP_SECRET, CsdnServer
from tests.standins.juejin import JuejinServer
from tests.standins.metaweblog import MetaWeblogServer
from tests.standins.platform import PlatformServer
from tests.standins.webhook_receiver import HOST, WebhookReceiver
from tests.standins.wordpress import WordPressServer
from tests.standins.zhihu import ZhihuServer
from tests.standins.zhihu_open_api import ZhihuOpenApi

OPTIONS = {"CASCADE_PUBLISH_OPTIONS": f"csdn.app_secret={APP_SECRET}"}


@dataclass(frozen=True)
class Platform:
    """How one is stood in for. `platform` is its publisher's name; `credentials` are those of a user with this secret.

    `certain`: it can be asked or repeated, so that no doubt is left for a person.
    """

    platform: str
    server: Callable[[], PlatformServer]
    credentials: Callable[[str, str], Credentials]
    certain: bool = True


def _cookies(domain: str, **cookies: str) -> Credentials:
    return Credentials(tuple(Cookie(name, value, domain) for name, value in cookies.items()))


def _login(url: str, user: str, secret: str) -> Credentials:
    return Credentials(fields={"url": url, "username": user, "password": secret})


PLATFORMS: Mapping[str, Platform] = {
    "zhihu": Platform(
        "zhihu",
        ZhihuServer,
        lambda user, secret: _cookies("zhihu.com", z_c0=secret, _xsrf="t0ken", d_c0=f"device-of-{user}"),
    ),
    "zhihu by key": Platform(
        "zhihu",
        ZhihuOpenApi,
        lambda user, secret: Credentials(fields={"app_key": user, "app_secret": secret}),
        certain=False,
    ),
    "csdn": Platform(
        "csdn",
        CsdnServer,
        lambda user, secret: _cookies("csdn.net", UserName=user, UserToken=secret),
    ),
    # Whether its draft may be published twice is not known: what is not found is left to a person.
    "juejin": Platform(
        "juejin",
        JuejinServer,
        lambda _user, secret: _cookies("juejin.cn", sessionid=secret),
        certain=False,
    ),
    "wordpress": Platform(
        "wordpress",
        WordPressServer,
        lambda user, secret: _login(f"https://{wordpress.HOST}/", user, secret),
    ),
    "metaweblog": Platform(
        "metaweblog",
        MetaWeblogServer,
        lambda user, secret: _login(f"https://{metaweblog.HOST}", user, secret),
    ),
    "webhook": Platform(
        "webhook",
        WebhookReceiver,
        lambda user, secret: Credentials(fields={"url": f"https://{HOST}/{user}", "secret": secret}),
    ),
}


@contextmanager
def standins() -> Iterator[dict[str, PlatformServer]]:
    """All of them, running."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(one.server()) for name, one in PLATFORMS.items()}
