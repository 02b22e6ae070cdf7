"""Phase 2 of account work: check whether an account's credentials are good, or log in anew."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from backend.domain.errors import CascadeError, Unavailable, WorkError
from backend.domain.orders import Failure, Outcome, WorkOrder
from backend.domain.ports import Desk, Publisher, Standing
from backend.domain.publishing import AccountOrder, AccountVerdict, Errand, LoginSight
from backend.workers.desk import BoundHttp, Ending, Left, Limits, Threshold, Watch, desk_for
from backend.workers.kit import Kit, Reporter
from backend.workers.publish import no_publisher
from backend.workers.update import failure_of, unexpected

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Errands:
    """One errand in the hands of one execution; any of them may be repeated."""

    order: WorkOrder
    account: AccountOrder
    publisher: Publisher
    desk: Desk
    reporter: Reporter

    def run(self) -> Outcome:
        """Do it. A job edge: whatever a plug-in raises is this errand's failure."""
        account = self.account
        try:
            return replace(ended(self.order), verdict=self._verdict())
        except Left:
            return replace(ended(self.order), handed_back=(account.account_id,))
        except Unavailable as error:
            return replace(ended(self.order), failure=Failure(error.code, error.sentence()))
        except WorkError as error:
            log.info("account %s: %s", account.account_id, error)
            if self.desk.wait(0.0) and self.desk.seconds_left() > 0:
                return replace(ended(self.order), handed_back=(account.account_id,))
            return replace(ended(self.order), failure=failure_of(error))
        except (Exception, SystemExit) as error:
            log.exception("account %s: unexpected error", account.account_id)
            return replace(ended(self.order), failure=unexpected(error))

    def _verdict(self) -> AccountVerdict:
        account = self.account
        told = (account.account_id, account.credential_version, account.credentials, self.desk)
        if account.errand is Errand.LOGIN:
            self.desk.tell("logging in")
            return self.publisher.log_in(*told, self._show)
        self.desk.tell("checking the login")
        return self.publisher.check_session(*told)

    def _show(self, prompt: LoginSight) -> None:
        """Let a person see what to scan, or where it ended."""
        if self.reporter.report(prompt) is not Standing.HELD:
            raise Left


def ended(order: WorkOrder) -> Outcome:
    """The order's outcome, still empty."""
    return Outcome(order.allocation_id, order.attempt, order.execution, order.kind)


def work_account(order: WorkOrder, kit: Kit, reporter: Reporter) -> Outcome:
    """Run one errand. What hangs is left behind; this process ends afterwards."""
    account = order.account
    if account is None:
        raise TypeError(order.kind)
    publisher = kit.publishers.get(account.platform)
    if publisher is None:
        return replace(ended(order), failure=no_publisher(account.platform, kit))
    limits = Limits(order.seconds)
    watch = Watch(limits, kit.stop, Threshold(), reporter.is_cancelled)
    desk = desk_for(
        BoundHttp(kit.http, limits),
        limits,
        lambda words: kit.tell(account.account_id, words),
        watch.must_end,
        kit.options,
    )
    future = kit.submit(order, Errands(order, account, publisher, desk, reporter).run)
    ending = watch.await_end(future)
    if ending is Ending.DONE:
        return future.result()
    log.warning("the errand of account %s is left behind: %s", account.account_id, ending)
    if ending is Ending.LATE:
        late = CascadeError("deadline_exceeded", seconds=f"{order.seconds:g}")
        return replace(ended(order), failure=Failure(late.code, late.sentence()))
    return replace(ended(order), handed_back=(account.account_id,))
