"""Which deliveries may be sent now: within the room and every receiver's limit, oldest first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from backend.domain import receivers
from backend.domain.admission import admit
from backend.domain.receivers import PER_MINUTE


@dataclass(frozen=True)
class Waits:
    """A delivery as admission sees it."""

    number: int
    receiver: str
    receiver_kind: str


KINDS = {"ding": "dingtalk", "wecom": "wecom", "feishu": "feishu", "hook": "webhook", "other": "apprise"}
queues = st.lists(st.sampled_from(sorted(KINDS)), max_size=150).map(
    lambda names: [Waits(number, name, KINDS[name]) for number, name in enumerate(names)]
)
recents = st.dictionaries(st.sampled_from(sorted(KINDS)), st.integers(0, 120))


@given(queues, recents, st.integers(0, 100))
def test_admission_respects_room_and_limits_and_leaves_nothing_out_that_fits(
    waiting: list[Waits], recent: dict[str, int], room: int
) -> None:
    admitted = admit(waiting, recent, room)
    assert len(admitted) <= room
    assert [one.number for one in admitted] == sorted({one.number for one in admitted})
    used = Counter(recent) + Counter(one.receiver for one in admitted)
    for name, kind in KINDS.items():
        assert kind not in PER_MINUTE or used[name] <= max(PER_MINUTE[kind], recent.get(name, 0))
    if len(admitted) < room:
        left = [one for one in waiting if one not in admitted]
        assert all(used[one.receiver] >= PER_MINUTE.get(one.receiver_kind, 10**9) for one in left)


def test_a_receiver_at_its_limit_does_not_hold_up_the_others() -> None:
    waiting = [*(Waits(n, "ding", "dingtalk") for n in range(25)), Waits(99, "hook", "webhook")]
    admitted = admit(waiting, {"ding": 5}, room=40)
    assert Counter(one.receiver for one in admitted) == {"ding": 15, "hook": 1}


def test_the_limits_are_those_of_the_receivers() -> None:
    urls = {
        "dingtalk": "https://oapi.dingtalk.com/robot/send?access_token=a",
        "wecom": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=a",
        "feishu": "https://open.feishu.cn/open-apis/bot/v2/hook/a",
        "webhook": "https://hooks.example.com/a",
    }
    found = {kind: receivers.check_receiver(url) for kind, url in urls.items()}
    assert {kind: one.kind.value for kind, one in found.items()} == {kind: kind for kind in urls}
    assert {kind: one.per_minute for kind, one in found.items()} == {
        kind: PER_MINUTE.get(kind) for kind in urls
    }
