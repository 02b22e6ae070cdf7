"""The one catalogue of sentences for people, keyed by stable code, in English and Chinese.

Each sentence says what happened and, where there is something to do, what to do.
Placeholders are filled by the error's parameters. One module for each part of the system; no code stands twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from backend.domain.messages import (
    alerts,
    child_commands,
    children,
    commands,
    databases,
    general,
    manuscripts,
    moving,
    nodes,
    operations,
    outside,
    parents,
    people,
    publish_requests,
    publish_waiting,
    publish_work,
    publishers,
    records,
    redis_faults,
    remote,
    requests,
    sweeping,
    waiting,
    work,
)

LANGUAGES = ("en", "zh")
# One a line: parts are added by many hands.
PARTS = (
    alerts,
    child_commands,
    children,
    commands,
    databases,
    general,
    manuscripts,
    moving,
    nodes,
    operations,
    outside,
    parents,
    people,
    publish_requests,
    publish_work,
    publish_waiting,
    publishers,
    records,
    redis_faults,
    remote,
    requests,
    sweeping,
    waiting,
    work,
)

CATALOGUE: dict[str, tuple[str, str]] = {
    code: said for part in PARTS for code, said in part.SENTENCES.items()
}
# A code in two parts would silently lose one of its sentences.
REPEATED = [
    code for code, count in Counter(code for part in PARTS for code in part.SENTENCES).items() if count > 1
]

# What errors call things and parts, for Chinese sentences.
CHINESE_NOUNS = {
    "The database": "数据库",
    "The migration lock": "迁移锁",
    "access key": "访问密钥",
    "account": "账号",
    "alert": "告警",
    "allocation": "分配任务",
    "article": "文章",
    "delivery": "推送",
    "feed": "订阅源",
    "message task": "消息任务",
    "node": "节点",
    "publish task": "发布任务",
    "run": "运行记录",
    "run, item, allocation, delivery or publish task": "运行记录、工作项、分配任务、推送或发布任务",
    "user": "用户",
}
# The parameters that name a thing or a part.
NAMING = ("noun", "part")


def render(code: str, language: str, params: Mapping[str, object]) -> str:
    """The sentence of `code` in `language`, with its placeholders filled; unknown codes show themselves."""
    english, chinese = CATALOGUE.get(code, (code, code))
    template = chinese if language == "zh" else english
    if language == "zh":
        called = {
            name: CHINESE_NOUNS.get(str(params[name]), params[name]) for name in NAMING if name in params
        }
        params = {**params, **called}
    try:
        return template.format_map(_Lenient(params))
    except (ValueError, IndexError):
        return template


class _Lenient(dict[str, object]):
    """A missing parameter shows as `?` instead of hiding the error that it belongs to."""

    def __missing__(self, key: str) -> str:
        return "?"
