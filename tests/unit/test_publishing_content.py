"""Articles as publishers take them: sanitized, complete, and told what gets lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.publishers.content import TAGS, has_something, html_of, left_out, markdown_of, tree_of
from backend.publishers.pictures import embedded, is_remote, kind_of, shown
from backend.publishers.zhihu.dialect import render

ARTICLE = r"""# Head

Some **bold**, *slanted*, ~~gone~~ and `code`, a [link](https://example.com "title"), $a_1*b_2*$, and $5 or $6.

$$
\int_0^1 x\,dx
$$

## Second

```python
print("<x>")
```

| a | b |
|---|---|
| 1 | `2` |

> said

1. one
   - two

![alt](https://example.com/a.png) with a note[^1]

[^1]: a foot
"""
HOSTILE = (
    '<script>alert(1)</script><p onclick="x()">text</p><a href="javascript:x()">j</a><a href="data:text/html,x">d</a>'
    '<img src="x" onerror="x()"><style>p{}</style><iframe src="https://evil.example"></iframe><b>kept</b><!-- c -->'
)


def zhihu(html: str) -> str:
    """The HTML as Zhihu takes it."""
    return render(tree_of(html_of(html, "html")), {})[0]


def test_markdown_becomes_complete_html() -> None:
    html = html_of(ARTICLE, "markdown")
    for part in (
        "<h1>Head</h1>",
        "<strong>bold</strong>",
        "<s>gone</s>",
        '<a href="https://example.com" title="title">link</a>',
        '<span class="math inline">a_1*b_2*</span>',
        "and $5 or $6.",
        "\\int_0^1 x\\,dx",
        '<code class="language-python">print("&lt;x&gt;")',
        "<th>a</th>",
        "<blockquote>",
        '<img src="https://example.com/a.png" alt="alt">',
        "a foot",
    ):
        assert part in html


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_hostile_parts_are_taken_out_and_their_loss_is_told(form: str) -> None:
    html = html_of(HOSTILE, form)
    for part in ("alert", "onclick", "javascript:", "data:", "onerror", "p{}", "iframe", "<!--"):
        assert part not in html
    assert "<b>kept</b>" in html
    assert left_out(HOSTILE, form) == ("left out: <iframe> (1×)",)


def test_html_becomes_markdown_with_its_code_tables_and_formulas() -> None:
    text = markdown_of(html_of(ARTICLE, "markdown"), "html")
    for part in (
        "# Head",
        "**bold**",
        "$a_1*b_2*$",
        "$$\n\\int_0^1 x\\,dx\n$$",
        "```python",
        "| a | b |",
        "> said",
    ):
        assert part in text
    assert markdown_of(ARTICLE, "markdown") == ARTICLE


@pytest.mark.parametrize(
    ("html", "something"),
    [("", False), ("<p> </p>", False), ("<script>x</script>", False), ("<img src='/a'>", True), ("a", True)],
)
def test_an_article_of_nothing_is_recognised(html: str, something: bool) -> None:
    assert has_something(html_of(html, "html")) is something


@given(
    st.text(alphabet="<>/=\"' abpreimgtdl&;!-[]()*_`$#|\n0", max_size=120),
    st.sampled_from(["html", "markdown"]),
)
@settings(max_examples=60)
def test_whatever_is_written_renders_for_everybody(content: str, form: str) -> None:
    html = html_of(content, form)
    assert {one.name for one in tree_of(html).find_all(True)} <= TAGS
    render(tree_of(html), {})
    markdown_of(content, form)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h3>a</h3><h5>b</h5><h6>c</h6>", "<h2>a</h2><h3>b</h3><p><b>c</b></p>"),
        (
            '<pre><code class="language-go">x &lt; 1\n</code></pre>',
            '<pre lang="go"><code>x &lt; 1</code></pre>',
        ),
        ("<div>a</div><div><p>b</p></div>", "<p>a</p><p>b</p>"),
        ("<p><strong>a</strong> <del>b</del> <span>c</span></p>", "<p><b>a</b> <del>b</del> c</p>"),
        (
            '<span class="math inline">a+b</span>',
            '<img alt="a+b" eeimg="1" src="https://www.zhihu.com/equation?tex=a%2Bb"/>',
        ),
        (
            "<figure><img src='https://e.com/a.png'><figcaption>said</figcaption></figure>",
            '<figure data-size="normal"><img alt="" src="https://e.com/a.png"/><figcaption>said</figcaption></figure>',
        ),
        (
            "<p><img src='https://e.com/a.png' alt='x'></p>",
            '<figure data-size="normal"><img alt="x" src="https://e.com/a.png"/></figure>',
        ),
    ],
    ids=["headings", "code", "divs", "inline", "formula", "figure", "picture"],
)
def test_zhihu_gets_its_own_dialect(html: str, expected: str) -> None:
    assert zhihu(html) == expected


def test_pictures_leave_the_places_where_zhihu_drops_them_in_their_order() -> None:
    html = "<ul><li>one <img src='https://e.com/1'></li><li><img src='https://e.com/2'></li></ul><p>after</p>"
    content, warnings = render(tree_of(html_of(html, "html")), {"https://e.com/1": "https://z/1"})
    at = [content.index(part) for part in ("</ul>", "https://z/1", "https://e.com/2", "after")]
    assert at == sorted(at)
    assert any("below" in one for one in warnings)


def test_a_table_becomes_one_body_with_its_caption_before_it() -> None:
    html = (
        "<table><caption>c</caption><thead><tr><th colspan=2>h</th></tr></thead><tr><td>1</td></tr></table>"
    )
    content, warnings = render(tree_of(html_of(html, "html")), {})
    assert content.startswith("<p>c</p><table data-draft-node")
    assert content.count("<tbody>") == 1
    assert "thead" not in content
    assert warnings


@pytest.mark.parametrize(
    ("source", "remote"),
    [
        ("https://e.com/a", True),
        ("//e.com/a", True),
        ("a.png", False),
        ("/a.png", False),
        ("file:///a.png", False),
        ("http://[", False),
    ],
)
def test_a_picture_is_remote_when_others_can_read_it(source: str, remote: bool) -> None:
    assert is_remote(source) is remote


def test_embedded_pictures_are_read_by_their_bytes_and_never_shown_whole() -> None:
    assert embedded("data:image/gif;base64,R0lGODlh") == b"GIF89a"
    assert embedded("data:image/gif;charset=x;base64,R0lG ODlh") == b"GIF89a"
    assert embedded("data:,GIF89a") == b"GIF89a"
    assert embedded("data:image/png;base64,%%%") is None
    assert kind_of(b"GIF89a") == "image/gif"
    assert kind_of(b"RIFF0000WEBPVP8 ") == "image/webp"
    assert kind_of(b"<svg>") == ""
    assert len(shown("data:image/png;base64," + "A" * 1000)) < 40
    assert "token" not in shown("https://e.com/a.png?token=x")
