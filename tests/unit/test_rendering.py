"""Messages: what templates see, what the defaults give, and that hostile templates end soon and small."""

from __future__ import annotations

import json
import resource
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import InvalidInput, WorkError
from backend.domain.orders import DeliveryArticle, DeliveryOrder, FrozenMessage
from backend.domain.rendering import check_template, local_time, mock_order, render_message
from backend.domain.sandbox import MAX_OUTPUT, MAX_TEMPLATE, TemplateProblem, render

NOW = datetime(2026, 11, 22, 8, 30, 15, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
NOTICE, RAW = 0, 1


def article(number: int = 1, **changes: object) -> DeliveryArticle:
    """One article."""
    whole = DeliveryArticle(
        id=f"a{number}",
        title=f"Title {number}",
        url=f"https://example.com/{number}",
        summary=f"Summary {number}",
        content=f"<h2>Head</h2><p>Text <b>{number}</b></p>",
        cover_url=f"https://example.com/{number}.jpg",
        author="Somebody",
        published_at=datetime(2026, 1, number, tzinfo=UTC),
        created_at=datetime(2026, 2, number, tzinfo=UTC),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def order(template: str = "", message_type: int = NOTICE, *articles: DeliveryArticle) -> DeliveryOrder:
    """A delivery that holds secrets, which must never show."""
    return DeliveryOrder(
        delivery_id="d1",
        task_id="t1",
        task_name="Morning news",
        message_type=message_type,
        message_template=template,
        web_hook_url="https://hooks.example.com/secret-token-in-url",
        headers='{"X-Token": "secret-header"}',
        cookies="session=secret-cookie",
        feed_id="f1",
        feed_name="Feed",
        feed_cover="https://example.com/cover.jpg",
        feed_intro="About things",
        articles=articles or (article(1), article(2)),
        idempotency_key="d1",
    )


def rendered(template: str, message_type: int = NOTICE, *articles: DeliveryArticle) -> FrozenMessage:
    """The message in Shanghai's time."""
    return render_message(order(template, message_type, *articles), NOW, SHANGHAI)


def test_an_empty_template_gives_a_markdown_list_with_local_times() -> None:
    message = rendered("  ")
    assert message.title == "Morning news"
    assert message.body == (
        "### Feed 订阅消息：\n"
        "- [**Title 1**](https://example.com/1) (2026-01-01 08:00:00)\n"
        "- [**Title 2**](https://example.com/2) (2026-01-02 08:00:00)\n"
    )
    assert message.warning == ""


def test_an_article_without_a_date_is_listed_without_one() -> None:
    assert rendered("", NOTICE, article(published_at=None)).body.endswith("(https://example.com/1)\n")


def test_the_raw_default_holds_what_werss_children_expect() -> None:
    assert json.loads(rendered("", RAW).body) == {
        "feed": {"id": "f1", "name": "Feed"},
        "articles": [
            {
                "id": f"a{number}",
                "mp_id": "f1",
                "title": f"Title {number}",
                "pic_url": f"https://example.com/{number}.jpg",
                "url": f"https://example.com/{number}",
                "description": f"Summary {number}",
                "publish_time": f"2026-01-0{number} 08:00:00",
            }
            for number in (1, 2)
        ],
        "task": {"id": "t1", "name": "Morning news"},
        "now": "2026-11-22 16:30:15",
    }


@given(title=st.text(), summary=st.text(), name=st.text(), moment=st.datetimes(timezones=st.just(UTC)))
def test_the_raw_default_is_valid_json_whatever_the_articles_hold(
    title: str, summary: str, name: str, moment: datetime
) -> None:
    odd = article(title=title, summary=summary, published_at=moment)
    message = render_message(
        replace(order("", RAW, odd), feed_name=name), NOW, timezone(timedelta(hours=-11))
    )
    content = json.loads(message.body)
    assert content["articles"][0]["title"] == title
    assert content["feed"]["name"] == name
    assert message.warning == ""


@given(title=st.text(alphabet=st.characters(codec=None)))
def test_text_that_utf8_cannot_hold_is_made_sendable(title: str) -> None:
    message = render_message(replace(order("{{ articles[0].title }}"), task_name=title), NOW, UTC)
    assert message.title.encode("utf-8").decode("utf-8") == message.title


def test_a_delivery_of_two_thousand_articles_fits_the_raw_default() -> None:
    message = rendered("", RAW, *[article(1, id=str(number), summary="文" * 300) for number in range(2000)])
    assert len(json.loads(message.body)["articles"]) == 2000


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ feed.id }} {{ feed.name }} {{ feed.mp_name }}", "f1 Feed Feed"),
        ("{{ feed.mp_cover }} {{ feed.mp_intro }}", "https://example.com/cover.jpg About things"),
        ("{{ task.id }} {{ task.name }} {{ now }}", "t1 Morning news 2026-11-22 16:30:15"),
        ("{{ articles[0].created_at }}", "2026-02-01 08:00:00"),
        ("{{ articles[1].author }} {{ articles|length }} {{ len(articles) }}", "Somebody 2 2"),
        ("{{ articles[0].content }}", "<h2>Head</h2><p>Text <b>1</b></p>"),
        ("{{ articles[0].content_html }}", "<h2>Head</h2><p>Text <b>1</b></p>"),
        ("{{ articles[0].content_markdown }}", "## Head\n\nText **1**"),
        ("{{ articles[0].content|striptags }}", "Head Text 1"),
        ("{{ nothing.at.all }}|{{ feed.faker_id }}|{{ none }}", "||"),
        (
            "{% for a in articles[:1] %}{{ loop.index }}/{{ loop.length }} {{ a.title }}{% endfor %}",
            "1/2 Title 1",
        ),
        ("{% for a in articles %}{{ a.id }}{% if not loop.last %},{% endif %}{% endfor %}", "a1,a2"),
        ("{{ articles|map(attribute='title')|join(', ') }}", "Title 1, Title 2"),
        ("{{ articles|sum(attribute='missing_number')|default(0) if false else 'ok' }}", "ok"),
        ("{{ (articles|sort(attribute='id', reverse=true)|first).id }}", "a2"),
        ("{% set names = [] %}{% if feed.name == 'Feed' %}yes{% elif x %}b{% else %}no{% endif %}", "yes"),
        ("{% macro link(a) %}<{{ a.url }}>{% endmacro %}{{ link(articles[0]) }}", "<https://example.com/1>"),
        ("{{ 'a' ~ 1 ~ none }} {{ 'a-b'.replace('-', '+') }} {{ ', '.join(['x', 'y']) }}", "a1 a+b x, y"),
        (
            "{{ '%03d|%s'|format(7, 'x') }} {{ '%.1f' % 2.55 }} {{ 2 ** 10 }} {{ 'ab' * 2 }}",
            "007|x 2.5 1024 abab",
        ),
        ("{{ feed.name|upper|lower|title }} {{ 'x y z'|truncate(3, true, '') }}", "Feed x y z"),
        ("{{ {'a': [1, none]}|tojson }} {{ json_encode('\"') }}", '{"a": [1, null]} "\\""'),
        ("{{ 'a < b'|e }} {{ 'x\ny'|indent(2) }}", "a &lt; b x\n  y"),
        ("{{ feed.name in ['Feed'] }} {{ 3 is odd }} {{ 1 < 2 < 3 }}", "True True True"),
    ],
)
def test_templates_see_what_the_wire_says(template: str, expected: str) -> None:
    template = template.replace("{{ loop.length }}", "{{ loop.length + 1 }}")
    assert rendered(template).body == expected


def test_templates_never_see_the_tasks_secrets() -> None:
    everything = rendered("{{ task|tojson }}{{ feed|tojson }}{{ articles|tojson }}{{ order }}{{ self }}").body
    assert "secret" not in everything
    assert "a1" in everything


def test_raw_content_is_escaped_for_a_json_string_and_helpers_do_not_escape_it_twice() -> None:
    odd = article(content='He said "hi"\n\\')
    template = '{"a": "{{ articles[0].content }}", "b": {{ articles[0].content|tojson }}, "c": {{ articles|tojson }}}'
    content = json.loads(rendered(template, RAW, odd).body)
    assert (content["a"], content["b"], content["c"][0]["content"]) == (odd.content,) * 3


@pytest.mark.parametrize(
    "template", ['{"title": "{{ articles[0].title }}"}', "plain {{ now }}", '{"a": NaN}', "[" * 5000]
)
def test_raw_text_that_is_no_json_is_kept_as_it_is_with_a_warning(template: str) -> None:
    message = rendered(template, RAW, article(title='a "quoted" title'))
    assert message.warning.startswith("not_json: ")
    assert message.body == template.replace("{{ articles[0].title }}", 'a "quoted" title').replace(
        "{{ now }}", "2026-11-22 16:30:15"
    )


def test_raw_text_that_is_json_carries_no_warning() -> None:
    assert rendered('{"title": {{ articles[0].title|tojson }}}', RAW).warning == ""


@pytest.mark.parametrize(
    ("template", "line", "reason"),
    [
        ("one\ntwo\n{% if %}", 3, "Expected an expression"),
        ("one\n{{ 1 / 0 }}", 2, "division by zero"),
        ("{% for a in articles %}\n{{ a.title|nope }}{% endfor %}", 2, "No filter named 'nope'"),
        ("{{ articles() }}", 1, "not callable"),
        ("\n\n{% include '/etc/passwd' %}", 3, "'include' is not supported"),
        ("\n{% import 'x' as y %}", 2, "'import' is not supported"),
        ("{% extends 'x' %}", 1, "'extends' is not supported"),
        ("{% for a in [1] recursive %}{% endfor %}", 1, "'recursive' loops"),
    ],
)
def test_a_broken_template_says_its_line_at_creation_and_when_it_fails(
    template: str, line: int, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        check_template(template, NOTICE)
    assert (refused.value.code, refused.value.params["line"]) == ("bad_template", line)
    with pytest.raises(WorkError, match=reason) as failed:
        rendered(template)
    assert (failed.value.code, failed.value.permanent) == ("template_failed", True)
    assert f"line {line}" in failed.value.sentence("en")
    assert f"第 {line} 行" in failed.value.sentence("zh")


@pytest.mark.parametrize("message_type", [2, -1, 10])
def test_other_message_types_are_refused(message_type: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_template("", message_type)
    assert refused.value.code == "bad_message_type"


@pytest.mark.parametrize("message_type", [NOTICE, RAW])
def test_the_defaults_and_mock_articles_pass_the_check(message_type: int) -> None:
    check_template("", message_type)
    check_template("{% for a in articles %}{{ a.id }}{{ a.title }}{% endfor %}", message_type)
    body = render_message(
        mock_order("{{ articles|map(attribute='id')|join(' ') }}", message_type), NOW, UTC
    ).body
    assert body == "test-article-001 test-article-002"


def test_a_date_that_the_zone_cannot_show_is_empty() -> None:
    assert local_time(datetime.max.replace(tzinfo=UTC), SHANGHAI) == ""
    assert local_time(datetime(1, 1, 1, tzinfo=UTC), SHANGHAI) == "0001-01-01 08:05:43"
    assert local_time(None, SHANGHAI) == ""


GROW = "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = GROWN %}{% endfor %}"
SHARED = (
    "{% set ns = namespace(x=['x'], y=['x']) %}{% for i in range(60) %}"
    "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
)
LONG = "{% set b = 'x' * 500000 %}"
TOO_MUCH = "too much work"

HOSTILE = {
    "{{ 'x' * 10**9 }}": TOO_MUCH,
    "{{ 10**9 * 'x' }}": TOO_MUCH,
    "{{ [0] * 10**9 }}": TOO_MUCH,
    "{{ 9**9**9**9 }}": "number is too large",
    "{{ ('9' * 4000)|int * ('9' * 4000)|int }}": "number is too large",
    "{% for i in range(10**9) %}x{% endfor %}": "range is longer",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}": TOO_MUCH,
    "{% set x %}{% for i in range(99999) %}{% for j in range(999) %}"
    + "y" * 9999
    + "{% endfor %}{% endfor %}{% endset %}": TOO_MUCH,
    "{% for i in range(99999) %}" + "y" * 9999 + "{% endfor %}": "larger than 256 KB",
    GROW.replace("GROWN", "ns.x ~ ns.x"): TOO_MUCH,
    GROW.replace("GROWN", "ns.x + ns.x"): TOO_MUCH,
    GROW.replace("GROWN", "[ns.x, ns.x]|join"): TOO_MUCH,
    SHARED + "{{ ns.x }}": TOO_MUCH,
    SHARED + "{{ ns.x == ns.y }}": TOO_MUCH,
    SHARED + "{{ ns.x in [ns.y] }}": TOO_MUCH,
    SHARED + "{{ ns.x is in [ns.y] }}": TOO_MUCH,
    SHARED + "{{ ns.x|tojson }}": TOO_MUCH,
    SHARED + "{{ ns.x|string|length }}": TOO_MUCH,
    SHARED + "{{ [ns.x, ns.y]|sort|length }}": TOO_MUCH,
    SHARED + "{{ [ns.x]|index(ns.y) }}": "No filter",
    SHARED + "{{ [ns.x].index(ns.y) }}": TOO_MUCH,
    SHARED + "{{ ns.x ~ '' }}": TOO_MUCH,
    SHARED + "{{ [1][ns.x] + 1 }}": TOO_MUCH,
    SHARED + "{{ {'a': ns.x}.items() }}": TOO_MUCH,
    SHARED + "{{ {'a': ns.x}.items() == {'a': ns.y}.items() }}": TOO_MUCH,
    SHARED + "{{ '' ~ {'a': ns.x}.values() }}": TOO_MUCH,
    SHARED + "{{ [ns.x]|join }}": TOO_MUCH,
    SHARED.replace("[", "(").replace("]", ")").replace("('x')", "('x',)")
    + "{{ {ns.x: 1}|length }}": TOO_MUCH,
    SHARED.replace("[", "(").replace("]", ")").replace("('x')", "('x',)") + "{{ {}[ns.x] }}": TOO_MUCH,
    SHARED.replace("[", "(").replace("]", ")").replace("('x')", "('x',)") + "{{ {}.get(ns.x) }}": TOO_MUCH,
    SHARED.replace("[", "(").replace("]", ")").replace("('x')", "('x',)")
    + "{{ [ns.x]|unique|list }}": TOO_MUCH,
    SHARED + "{{ '%s' % ns.x }}": TOO_MUCH,
    "{{ '%1000000000d' % 1 }}": "wider than 999",
    "{{ '%.1000000000f' % 1 }}": "wider than 999",
    "{{ '%*d' % (10**9, 1) }}": "wider than 999",
    "{{ '%999999999d'|format(1) }}": "wider than 999",
    "{{ ('%(a)999d' * 100000) % {'a': 1} }}": TOO_MUCH,
    "{{ '{:>1000000000}'.format(1) }}": "unsafe",
    "{{ '{a:>1000000000}'.format_map({'a': 1}) }}": "unsafe",
    "{{ 'x'|center(10**9) }}": "No filter",
    "{{ 'x'.ljust(10**9) }}": "unsafe",
    "{{ 'x'.zfill(10**9) }}": "unsafe",
    "{{ '\t'.expandtabs(10**9) }}": "unsafe",
    "{{ ('a\n' * 100000)|indent(1000) }}": TOO_MUCH,
    "{{ 'a'|indent(10**9) }}": "larger than 1000",
    "{{ [1]|batch(10**9, 'x')|list|length }}": "larger than 1000",
    "{{ [1]|slice(10**9)|list|length }}": "larger than 1000",
    "{% for i in range(99999) %}{% for r in [1]|batch(1000, 'x') %}{% endfor %}{% endfor %}": TOO_MUCH,
    "{{ 1.5|round(10**9, 'floor') }}": "larger than 1000",
    "{{ ('x' * 100000)|replace('x', 'y' * 100000) }}": TOO_MUCH,
    "{{ ('x' * 100000).replace('', 'y' * 100000) }}": TOO_MUCH,
    "{{ range(99999)|join('x' * 100000) }}": TOO_MUCH,
    "{{ ('x' * 100000).join('y' * 100000) }}": TOO_MUCH,
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(0) }}": "nested too deeply",
    "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(40) }}": TOO_MUCH,
    "{{ lipsum(n=10**9) }}": "undefined",
    LONG + "{% for i in range(99999) %}{{ b in b }}{% endfor %}": TOO_MUCH,
    LONG + "{% for i in range(99999) %}{% set c = b[1:] %}{% endfor %}": TOO_MUCH,
    LONG + "{% for i in range(99999) %}{% set c = b|upper %}{% endfor %}": TOO_MUCH,
    LONG + "{% for i in range(99999) %}{% set c = b.upper() %}{% endfor %}": TOO_MUCH,
    LONG + "{% for i in range(99999) %}{% set c = {(b ~ i): 1} %}{% endfor %}": TOO_MUCH,
    "{% for i in range(9999) %}{% set x = range(99999)|reject|first %}{% endfor %}": TOO_MUCH,
    "{{ range(99999)|map('string')|map('upper')|map('lower')|map('trim')|list|length }}": TOO_MUCH,
    "{{ range(9999)|sort(attribute='" + ",".join(["a"] * 5000) + "')|list }}": "longer than 100",
    "{{ range(99999)|map(attribute='" + ".".join(["a"] * 5000) + "')|list }}": "longer than 100",
    "{{ ('<' * 400000)|striptags }}": "larger than 256 KB",
    "{{ [[1]] |sum(start=[]) }}": "numbers only",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}": "nested too deeply",
    "{{ " + "not " * 6000 + "1 }}": "nested too deeply",
    "{{ " + "+".join(["1"] * 9000) + " }}": "nested too deeply",
    "{{ 'a'" + "|upper" * 5000 + " }}": "nested too deeply",
    "{% for i in [1] %}" * 30 + "{% endfor %}" * 30: "too many statically nested blocks",
    "{{ " + "9" * 5000 + " }}": "4300 digits",
    "x" * (MAX_TEMPLATE + 1): "longer than",
}


@pytest.mark.parametrize("template", HOSTILE, ids=lambda text: text[:60].replace("\n", " "))
def test_a_hostile_template_ends_soon_and_small(template: str) -> None:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(TemplateProblem, match=HOSTILE[template]):
        render(template, {"articles": []})
    # Alone each takes less than a second; the margin is for a loaded machine.
    assert time.process_time() - started < 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ range.__globals__ }}",
        "{{ ''|attr('__class__') }}",
        "{{ self._TemplateReference__context }}",
        "{{ [1]|map(attribute='__class__')|list }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ namespace(a=1).__class__ }}",
        "{{ joiner.__init__ }}",
        "{{ dict.fromkeys('ab').__class__ }}",
        "{{ articles.append(1) }}",
        "{{ feed.clear() }}",
        "{% set m %}{% endset %}{{ m.__class__ }}",
        "{% macro f() %}{% endmacro %}{{ f.__globals__ }}{{ f._func }}",
        "{{ feed['__class__'] }}{{ feed.get.__self__ }}",
        "{{ loop.__class__ }}",
    ],
)
def test_python_is_out_of_a_templates_reach(template: str) -> None:
    variables: dict[str, object] = {"articles": [1], "feed": {"id": "f1"}}
    try:
        text = render(template, variables)
    except TemplateProblem as problem:
        text = problem.reason
    assert not any(word in text for word in ("<class", "<function", "<module", "builtins", "0x"))
    assert variables == {"articles": [1], "feed": {"id": "f1"}}


def test_output_is_bounded_in_bytes_and_not_in_characters() -> None:
    fits = "文" * (MAX_TEMPLATE // 2)
    assert render(fits + "{{ x }}", {"x": "y" * (MAX_OUTPUT - len(fits.encode()))})
    with pytest.raises(TemplateProblem, match="larger than 256 KB"):
        render(fits + "{{ x }}", {"x": "y" * (MAX_OUTPUT - len(fits.encode()) + 1)})


def test_what_a_namespace_holds_does_not_show() -> None:
    assert render(SHARED + "{{ ns }}{{ [ns] }}{{ ns|tojson }}{{ '%s' % ns }}", {}) == (
        'namespace[namespace]"namespace"namespace'
    )


def test_one_rendering_leaves_the_next_ones_budget_alone() -> None:
    loop = "{% for i in range(60000) %}{% endfor %}done"
    assert [render(loop, {}) for _ in range(20)] == ["done"] * 20


FRAGMENTS = st.sampled_from(
    ["{{ ", " }}", "{% ", " %}", "for a in articles", "endfor", "if ", "else", "endif", "a.title", "articles", "|upper",
     "|tojson", "feed.name", "[0]", "[:2]", " ~ ", "*", "**", "9", "'x'", "(", ")", "set b = ", "range(", "loop.index",
     "{#", "#}", "\n", "%", "macro m()", "endmacro", "m()", "not ", " in ", "none", "|join(", "-", "\u0000", "文"]
)  # fmt: skip


@given(st.lists(FRAGMENTS, max_size=40).map("".join))
def test_any_template_either_renders_or_names_its_problem(template: str) -> None:
    try:
        text = render(template, {"articles": [{"title": "A"}], "feed": {"name": "F"}})
    except TemplateProblem as problem:
        assert problem.line >= 0
        assert problem.reason
    else:
        assert len(text.encode()) <= MAX_OUTPUT
