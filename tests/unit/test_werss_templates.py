"""Which WeRSS templates say the same here: the table of wire.md, section 5, and what its own defaults need."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.werss_templates import compare_template

LOOP = "{% for a in articles %}\n- {{ a.title }}{% endfor %}"
DEFAULT_NOTICE = (
    "\n### {{feed.mp_name}}:\n{% if articles %}\n{% for article in articles %}\n"
    "- [**{{ article.title }}**]({{article.url}}) ({{ article.publish_time }})\n{% endfor %}\n{% else %}\n- none\n{% endif %}\n"
)
DEFAULT_RAW = (
    '{"feed": {"id": "{{ feed.id }}"}, "articles": [{% if articles %}\n{% for article in articles %}\n'
    '{"id": "{{ article.id }}"}{% if not loop.last %},{% endif %}\n{% endfor %}\n{% endif %}], "now": "{{ now }}"}'
)


def codes(template: str) -> list[str]:
    """What is different, without the common beginning."""
    return [one.code.removeprefix("werss_template_") for one in compare_template(template).differences]


@pytest.mark.parametrize(
    ("template", "different"),
    [
        ("{{ x|upper }}", "filter"),
        ("{% for a in articles %}- {{a.title}}{% endfor %}", "joined"),
        ("{% for a in articles %}\n[{% if a.flag %}Y{% else %}N{% endif %}]{% endfor %}", "if_in_loop"),
        ("{% for a in articles %}\n{% if not a.title %}N{% endif %}{% endfor %}", "if_in_loop"),
        ("{% for a in articles %}{{a.title}}{% if not loop.last %},{% endif %}{% endfor %}", "joined"),
        ("{{ articles[0].title }}", "index"),
        ("{{= articles[0]['title'] }}", "calculation"),
        ("{% if feed.mp_name == 'x' %}1{% endif %}", "condition"),
        ("{% if len(articles) > 1 %}1{% endif %}", "call"),
        ("{% if a %}1{% elif b %}2{% else %}3{% endif %}", "elif"),
        ("{% for a in articles %}\n{{a.title}}{%endfor%}", "spacing"),
        ("{% if articles %}1{%endif%}", "spacing"),
        ("{% for a in articles -%}\n{{a.title}}{% endfor %}", "trim"),
        ("{# c #}", "comment"),
        ("{% for a in articles %}\n{% for b in articles %}{% endfor %}{% endfor %}", "nested_loop"),
        ("{% if feed is defined %}1{% endif %}", "condition"),
        ("{% include 'file' %}", "tag"),
        ("{% let n = 1 %}", "tag"),
        ("{% for x in feed.tags %}\n{{ x }}{% endfor %}", "loop"),
        ("{% for a in articles %}\n{% set n = a.title %}{% endfor %}", "set"),
        ("{{ feed }}", "whole"),
        ("{{ feed.faker_id }}", "field"),
        ("{% for a in articles %}\n{{ a.extinfo }}{% endfor %}", "field"),
        ("{{ now + 1 }}", "expression"),
        ("{% endfor %}", "unbalanced"),
    ],
)
def test_what_means_something_else_here_is_found(template: str, different: str) -> None:
    assert different in codes(template)


@pytest.mark.parametrize(
    "template",
    [
        "",
        "plain text, 100 % {plain}",
        "{{ feed.mp_name }} {{ task.name }} {{now}}",
        "{{ feed.mp_intro or feed.mp_name or '-' }}",
        "{% if articles %}some{% else %}none{% endif %}",
        "{% if not articles %}none{% endif %}",
        "{% set n = feed.mp_name %}{{ n }}",
        LOOP,
        LOOP.replace("articles", "articles[:3]"),
        "{% for a in articles %}\n{{ loop.index }}. {{ a.title }}{% endfor %}",
        DEFAULT_NOTICE,
        DEFAULT_RAW,
    ],
)
def test_what_says_the_same_is_taken(template: str) -> None:
    assert codes(template) == []


def test_blank_lines_and_converted_contents_are_remarked() -> None:
    def remarked(template: str) -> list[str]:
        return [one.code for one in compare_template(template).remarks]

    assert remarked(LOOP) == []
    assert remarked("a\n\n\nb") == ["werss_template_blank_lines"]
    assert remarked(DEFAULT_NOTICE) == ["werss_template_blank_lines"]
    assert remarked(LOOP.replace("title", "content")) == ["werss_template_content"]


def test_a_difference_names_its_line_and_what_stands_there() -> None:
    [found] = compare_template("a\nb\n{{ feed.mp_name | upper }}\n{{ now | lower }}").differences
    assert (found.params["line"], found.params["shown"]) == (3, "{{ feed.mp_name | upper }}")
    assert found.sentence("zh").startswith("第 3 行")


@given(st.lists(st.sampled_from(["{% for a in articles %}", "{% endfor %}", "{% if x %}", "{% endif %}", "{%%}", "{{", "}}", "{% else %}", "\n", "a", "{{}}", "{#", "#}", "{{ a.b | c }}", "{%", "%}"]), max_size=12).map("".join))  # fmt: skip
def test_any_text_can_be_compared(template: str) -> None:
    found = compare_template(template)
    assert all(one.sentence("en") and one.sentence("zh") for one in (*found.differences, *found.remarks))
