"""Deliveries as messages: the template's variables, the default templates, and the rules per message type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

from backend.domain import markup
from backend.domain.errors import InvalidInput, WorkError
from backend.domain.orders import DeliveryArticle, DeliveryOrder, FrozenMessage
from backend.domain.sandbox import MAX_OUTPUT, TemplateProblem, render
from backend.domain.template_filters import EscapedText

NOTICE = 0
RAW = 1
MESSAGE_TYPES = (NOTICE, RAW)

DEFAULT_NOTICE = """\
### {{ feed.mp_name }} 订阅消息：
{% for article in articles -%}
- [**{{ article.title }}**]({{ article.url }}){% if article.publish_time %} ({{ article.publish_time }}){% endif %}
{% endfor %}"""

DEFAULT_RAW = """\
{
  "feed": {"id": {{ feed.id|tojson }}, "name": {{ feed.mp_name|tojson }}},
  "articles": [{% for article in articles %}
    {
      "id": {{ article.id|tojson }},
      "mp_id": {{ article.mp_id|tojson }},
      "title": {{ article.title|tojson }},
      "pic_url": {{ article.pic_url|tojson }},
      "url": {{ article.url|tojson }},
      "description": {{ article.description|tojson }},
      "publish_time": {{ article.publish_time|tojson }}
    }{% if not loop.last %},{% endif %}{% endfor %}
  ],
  "task": {"id": {{ task.id|tojson }}, "name": {{ task.name|tojson }}},
  "now": {{ now|tojson }}
}"""

DEFAULTS = {NOTICE: DEFAULT_NOTICE, RAW: DEFAULT_RAW}

# The defaults only repeat what the articles hold, so a long list of them may go out in one message.
MAX_DEFAULT_OUTPUT = 8 * 1024 * 1024

_MOCK_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def render_message(order: DeliveryOrder, now: datetime, zone: tzinfo) -> FrozenMessage:
    """The message of a delivery, times shown in `zone`. Raises `WorkError`, permanent: the template is to be mended."""
    check_message_type(order.message_type)
    template = order.message_template
    try:
        body = _render(template, order.message_type, _variables(order, now, zone))
    except TemplateProblem as problem:
        raise WorkError(
            "template_failed", permanent=True, line=problem.line, detail=problem.reason
        ) from problem
    warning = _json_warning(body) if order.message_type == RAW else ""
    return FrozenMessage(_sendable(order.task_name), body, warning)


def check_template(text: str, message_type: int) -> None:
    """Refuse a template that can't be compiled, or not rendered with mock articles. Raises `InvalidInput`."""
    check_message_type(message_type)
    try:
        _render(text, message_type, _variables(mock_order(text, message_type), _MOCK_TIME, UTC))
    except TemplateProblem as problem:
        raise InvalidInput("bad_template", line=problem.line, detail=problem.reason) from problem


def check_message_type(message_type: int) -> None:
    """Raises `InvalidInput` for anything but 0 and 1."""
    if message_type not in MESSAGE_TYPES:
        raise InvalidInput("bad_message_type")


def mock_order(template: str, message_type: int, *, web_hook_url: str = "") -> DeliveryOrder:
    """A delivery of two invented articles, for tries without database rows."""
    return DeliveryOrder(
        delivery_id="test-delivery",
        task_id="test-task",
        task_name="Test task",
        message_type=message_type,
        message_template=template,
        web_hook_url=web_hook_url,
        headers="",
        cookies="",
        feed_id="test-feed-001",
        feed_name="Test feed",
        feed_cover="",
        feed_intro="",
        articles=tuple(_mock_article(number) for number in (1, 2)),
        idempotency_key="test-delivery",
    )


def _mock_article(number: int) -> DeliveryArticle:
    return DeliveryArticle(
        id=f"test-article-{number:03d}",
        title=f'Test article {number}: "quoted", 测试',
        url=f"https://example.com/articles/{number}",
        summary="A summary.",
        content="<p>Some <b>content</b>.</p>",
        cover_url="https://example.com/cover.jpg",
        author="Author",
        published_at=_MOCK_TIME,
        created_at=_MOCK_TIME,
    )


def _render(template: str, message_type: int, variables: Mapping[str, object]) -> str:
    if template.strip():
        return render(template, variables, MAX_OUTPUT)
    return render(DEFAULTS[message_type], variables, MAX_DEFAULT_OUTPUT)


def _variables(order: DeliveryOrder, now: datetime, zone: tzinfo) -> dict[str, object]:
    return {
        "feed": {
            "id": order.feed_id,
            "name": order.feed_name,
            "mp_name": order.feed_name,
            "mp_cover": order.feed_cover,
            "mp_intro": order.feed_intro,
        },
        "articles": [_article(order, article, zone) for article in order.articles],
        # The task's headers, cookies and address are secrets; templates never see them.
        "task": {"id": order.task_id, "name": order.task_name, "message_type": order.message_type},
        "now": local_time(now, zone),
    }


def _article(order: DeliveryOrder, article: DeliveryArticle, zone: tzinfo) -> dict[str, object]:
    raw = order.message_type == RAW
    wants_markdown = "content_markdown" in order.message_template
    return {
        "id": article.id,
        "mp_id": order.feed_id,
        "feed_id": order.feed_id,
        "title": article.title,
        "pic_url": article.cover_url,
        "url": article.url,
        "description": article.summary,
        "author": article.author,
        "publish_time": local_time(article.published_at, zone),
        "created_at": local_time(article.created_at, zone),
        "content": EscapedText.of(article.content) if raw else article.content,
        "content_html": article.content,
        "content_markdown": markup.markdown(article.content) if wants_markdown else "",
    }


def local_time(moment: datetime | None, zone: tzinfo) -> str:
    """`YYYY-MM-DD HH:MM:SS` in `zone`; nothing for no moment, or one that the calendar can't show there."""
    if moment is None:
        return ""
    try:
        return moment.astimezone(zone).replace(tzinfo=None).isoformat(" ", "seconds")
    except OverflowError:
        return ""


def _json_warning(body: str) -> str:
    try:
        json.loads(body, parse_constant=_refuse_constant)
    except ValueError as error:
        return f"not_json: the rendered text is not valid JSON and was sent as it is ({error})"
    except RecursionError:
        return "not_json: the rendered text is nested too deeply for JSON and was sent as it is"
    return ""


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
