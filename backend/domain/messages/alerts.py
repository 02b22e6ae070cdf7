"""Alerts: what happened, and what a person should do."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "alert_feed_gone": (
        "{name} says that it is gone for good (410) and was switched off; give it a new address, or delete it; if it came back: ./cascade feed resume {feed_id}",
        "订阅源“{name}”表示已永久删除（410），已被停用；请更换地址或删除它；若已恢复：./cascade feed resume {feed_id}",
    ),
    "alert_feed_quarantined": (
        "{name} killed its worker three times and was switched off; the log of its node says how; after mending: ./cascade feed resume {feed_id}, or give it another address",
        "订阅源“{name}”三次导致执行进程崩溃，已被停用；原因见节点日志；处理后执行 ./cascade feed resume {feed_id}，或更换地址",
    ),
    "alert_feed_duplicate": (
        "{name} moved for good to the address of {other}, which you collect already; delete one of the two.",
        "订阅源“{name}”已永久迁移到“{other}”的地址，后者已在采集；请删除其中一个。",
    ),
}
