"""The ways to Zhihu behind one name: with a key through its OpenAPI, else with cookies as its own editor does."""

from __future__ import annotations

from collections.abc import Callable

from backend.domain.errors import CascadeError
from backend.domain.ports import Desk, Publisher
from backend.domain.publishing import (
    AccountVerdict,
    Credentials,
    DraftSaved,
    Finding,
    LoginSight,
    Manuscript,
    Prepared,
    Published,
    PublishOrder,
)
from backend.publishers.zhihu.open_api import OpenApiPublisher, has_key
from backend.publishers.zhihu.publisher import ZhihuPublisher
from backend.publishers.zhihu.wire import SECONDS


class Zhihu:
    """Implements `Publisher`: each call goes the way of the account's credentials.

    The promise is the cookies' one. Through the OpenAPI a doubt is never answered, and so nothing is ever repeated.
    """

    platform = "zhihu"
    promise = ZhihuPublisher.promise
    credential_kinds = ZhihuPublisher.credential_kinds | OpenApiPublisher.credential_kinds
    login_kinds = ZhihuPublisher.login_kinds

    def __init__(self, seconds: float = SECONDS) -> None:
        self._web = ZhihuPublisher(seconds)
        self._open_api = OpenApiPublisher(seconds)

    def _way(self, credentials: Credentials) -> Publisher:
        return self._open_api if has_key(credentials) else self._web

    def _asked(self, credentials: Credentials) -> Publisher:
        """Whom to ask what is there: with cookies too, also an article of the OpenAPI can be found."""
        return self._web if credentials.cookies else self._way(credentials)

    def credential_troubles(self, credentials: Credentials) -> tuple[CascadeError, ...]:
        """See `Publisher`."""
        with_key = any(credentials.fields.get(name) for name in ("app_key", "app_secret"))
        return (self._open_api if with_key else self._web).credential_troubles(credentials)

    def refusals(self, manuscript: Manuscript) -> tuple[CascadeError, ...]:
        """What neither way takes; what the OpenAPI alone refuses is told when it is prepared."""
        return self._web.refusals(manuscript)

    def check_session(
        self, account_id: str, version: int, credentials: Credentials, desk: Desk
    ) -> AccountVerdict:
        """See `Publisher`."""
        return self._way(credentials).check_session(account_id, version, credentials, desk)

    def log_in(
        self,
        account_id: str,
        version: int,
        credentials: Credentials,
        desk: Desk,
        prompt: Callable[[LoginSight], None],
    ) -> AccountVerdict:
        """See `Publisher`. Raises `WorkError`."""
        return self._way(credentials).log_in(account_id, version, credentials, desk, prompt)

    def prepare(self, order: PublishOrder, desk: Desk, save: Callable[[DraftSaved], None]) -> Prepared:
        """See `Publisher`. Raises `WorkError`."""
        return self._way(order.credentials).prepare(order, desk, save)

    def recent_ids(self, order: PublishOrder, desk: Desk) -> tuple[str, ...]:
        """See `Publisher`. Raises `WorkError`."""
        return self._asked(order.credentials).recent_ids(order, desk)

    def publish(self, order: PublishOrder, prepared: Prepared, desk: Desk) -> Published:
        """See `Publisher`. Raises `WorkError`."""
        return self._way(order.credentials).publish(order, prepared, desk)

    def find_published(self, order: PublishOrder, desk: Desk) -> Finding:
        """See `Publisher`. Raises `WorkError`."""
        return self._asked(order.credentials).find_published(order, desk)
