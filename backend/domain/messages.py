"""The one catalogue of sentences for people, keyed by stable code, in English and Chinese.

Each sentence says what happened and, where there is something to do, what to do.
Placeholders are filled by the error's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("en", "zh")

CATALOGUE: dict[str, tuple[str, str]] = {
    # general
    "ok": ("success", "成功"),
    "internal_error": (
        "Something went wrong inside Cascade; the log has the details under request {request_id}.",
        "Cascade 内部出错；详情见日志，请求号 {request_id}。",
    ),
    "invalid_input": (
        "The request can't be used as it is; see data.errors for each field.",
        "请求内容有误，请查看 data.errors 中每个字段的说明。",
    ),
    "not_found": ("There is no {noun} {id}.", "找不到{noun} {id}。"),
    "conflict": ("The change collides with what stands: {detail}", "与现有数据冲突：{detail}"),
    "unavailable": (
        "{part} does not answer right now; try again in a few seconds.",
        "{part} 暂时无响应，请几秒后重试。",
    ),
    "bad_setting": ("{name}: {detail}", "{name}：{detail}"),
    "no_secret_key": (
        "There is no secret key; run ./cascade up once, or set CASCADE_SECRET_KEY.",
        "没有密钥；请先运行一次 ./cascade up，或设置 CASCADE_SECRET_KEY。",
    ),
    "wrong_secret_key": (
        "A stored secret can't be decrypted; set CASCADE_SECRET_KEY (or secret.key) to the key it was stored with.",
        "无法解密已保存的机密；请把 CASCADE_SECRET_KEY（或 secret.key）设回当时使用的密钥。",
    ),
    # work
    "work_failed": ("The work failed: {detail}", "执行失败：{detail}"),
    "held_connection": (
        "A database connection is held during the long work of phase 2; close the session before the work starts.",
        "第二阶段（长时间工作）期间仍占用数据库连接；请在工作开始前关闭会话。",
    ),
    "deadline_exceeded": (
        "The work did not end within its limit of {seconds} s and was stopped.",
        "工作超过 {seconds} 秒的时限，已被停止。",
    ),
    "lost": (
        "The worker stopped renewing its lease (it died or froze); the work goes to another one.",
        "执行进程不再续租（已退出或卡死）；任务将交给其他进程。",
    ),
    "unexpected_error": (
        "An unexpected error ended the work: {detail}",
        "意外错误导致工作中止：{detail}",
    ),
    "attempts_spent": (
        "All {attempts} attempts failed; the last one said: {detail}",
        "{attempts} 次尝试均失败；最后一次：{detail}",
    ),
    # queues
    "wildcard_queue": (
        "RQ does not serve wildcards, so nothing would ever take work from {name!r}. Name the queues themselves: {example}",
        "RQ 不支持通配符，{name!r} 中的任务永远不会被执行。请写出具体队列名：{example}",
    ),
    "unknown_queue": (
        "Nothing enqueues to {name!r}. The queues that exist: {existing}",
        "没有任何任务会进入队列 {name!r}。现有队列：{existing}",
    ),
    "bad_queue_name": (
        "{name!r} is not a queue name: use letters, digits, '-' and ':' as in node:beijing-1.",
        "{name!r} 不是合法的队列名：请使用字母、数字、“-” 和 “:”，例如 node:beijing-1。",
    ),
}


def render(code: str, language: str, params: Mapping[str, object]) -> str:
    """The sentence of `code` in `language`, with its placeholders filled; unknown codes show themselves."""
    english, chinese = CATALOGUE.get(code, (code, code))
    template = chinese if language == "zh" else english
    try:
        return template.format_map(_Lenient(params))
    except (ValueError, IndexError):
        return template


class _Lenient(dict[str, object]):
    """A missing parameter shows as `?` instead of hiding the error that it belongs to."""

    def __missing__(self, key: str) -> str:
        return "?"
