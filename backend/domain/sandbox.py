"""A Jinja2 sandbox whose templates can neither run long nor grow big.

Every template runs on a budget of steps (see `metering`): calls, filters, tests, operators and output go through
hooks of the environment, and what Jinja2 compiles to bare Python (loops, comparisons, slices, keys, `~`) gets hooks put
in. A loop pays per round, and for the fixed text that a round repeats. Filters, methods and attributes are
allow-lists.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import ChainableUndefined, Template, TemplateError, nodes, pass_context
from jinja2.exceptions import TemplateAssertionError, TemplateSyntaxError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from backend.domain import template_filters
from backend.domain.metering import BINARY, CHARACTERS, Exhausted, budgeted, spending

MAX_TEMPLATE = 32 * 1024
MAX_OUTPUT = 256 * 1024
MAX_ROUNDS = 100_000

# What a template's author can provoke in his own program; anything else is a fault of ours and passes through.
FAILURES = (
    TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


class TemplateProblem(Exception):
    """A template that can't be compiled or rendered; `line` is 0 when unknown."""

    def __init__(self, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(f"line {line}: {reason}")


class Notes(Namespace):
    """What `namespace()` makes; shown, it would show everything inside it."""

    def __repr__(self) -> str:
        return "namespace"


_PLAIN_METHODS = frozenset(
    [
        "lower",
        "upper",
        "title",
        "capitalize",
        "casefold",
        "swapcase",
        "strip",
        "lstrip",
        "rstrip",
        "startswith",
        "endswith",
        "split",
        "rsplit",
        "splitlines",
        "partition",
        "rpartition",
        "find",
        "rfind",
        "index",
        "count",
        "isdigit",
        "isalpha",
        "isspace",
        "removeprefix",
        "removesuffix",
    ]
)
_LOOP = frozenset(
    [
        "index",
        "index0",
        "first",
        "last",
        "length",
        "revindex",
        "revindex0",
        "previtem",
        "nextitem",
        "cycle",
        "changed",
        "depth",
        "depth0",
    ]
)
ATTRIBUTES: tuple[tuple[type, frozenset[str]], ...] = (
    (str, _PLAIN_METHODS | {"replace", "join"}),
    (dict, frozenset({"items", "keys", "values", "get"})),
    (list, frozenset({"index", "count"})),
    (tuple, frozenset({"index", "count"})),
    (LoopContext, _LOOP),
    (Cycler, frozenset({"next", "current", "reset"})),
)


def _length(text: str, arguments: Iterable[object]) -> int:
    return len(text) + sum(len(each) for each in arguments if isinstance(each, str))


def _text_method(method: Callable[..., Any], text: str, arguments: tuple[Any, ...]) -> Any:
    budget = spending()
    budget.make_text(_length(text, arguments))
    if method.__name__ == "replace":
        return template_filters.replace(text, *arguments)
    if method.__name__ == "join":
        (parts,) = arguments
        return template_filters.join(parts, text)
    return method(*arguments)


def _range(*bounds: int) -> range:
    rounds = range(*bounds)
    if len(rounds) > MAX_ROUNDS:
        raise Exhausted(f"a range is longer than {MAX_ROUNDS}")
    return rounds


@pass_context
def _finalize(_: Context, value: object) -> object:
    """Pay for what goes out; nothing shows as nothing. Taking the context keeps Jinja from running it at compile time."""
    budget = spending()
    budget.make_text(budget.weigh(value))
    return "" if value is None else value


class MeteredEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox: everything that a template does goes through a hook that pays for it."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(undefined=ChainableUndefined, finalize=_finalize, optimized=False, cache_size=0)
        originals: tuple[dict[str, Any], dict[str, Any]] = (dict(self.filters), dict(self.tests))
        self.filters.clear()
        self.filters.update(template_filters.metered_filters(originals[0]))
        self.tests.update(template_filters.metered_tests(originals[1]))
        self.globals = {
            "range": _range,
            "dict": dict,
            "namespace": Notes,
            "cycler": Cycler,
            "joiner": Joiner,
            "len": len,
            "json_encode": self.filters["json_encode"],
        }
        self.binop_table.update(BINARY)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Pay for hashing the key, or for showing it in an error."""
        if not isinstance(argument, str | int):
            spending().weigh(argument)
        return super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002
        """Allow-list by type; everything else about an object is out of reach."""
        if isinstance(obj, Namespace):
            return not attr.startswith("_")
        return any(isinstance(obj, kind) and attr in names for kind, names in ATTRIBUTES)

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` is not allowed at all, so there is nothing to wrap."""

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """Pay, then call; methods of text are bounded one by one."""
        owner = getattr(__obj, "__self__", None)
        if owner is __self:
            # Jinja2 offers its scopes to everything that it calls.
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return __obj(*args, **kwargs)
        budget = spending()
        budget.spend(12 + sum(map(budget.weigh, (*args, *kwargs.values()))) / 256)
        if isinstance(__obj, types.BuiltinMethodType) and isinstance(owner, str):
            result = _text_method(__obj, owner, args)
        else:
            result = super().call(__context, __obj, *args, **kwargs)
        if __obj is not len:
            budget.make_text(budget.weigh(result))
        return result

    def rounds(self, iterable: Iterable[object], fixed_text: int) -> Iterator[object]:
        """The loop's items; each round pays, also for the fixed text in its body."""
        budget = spending()
        stored = isinstance(iterable, list | tuple | dict | str | range)
        for item in iterable:
            budget.spend(2 + fixed_text / CHARACTERS)
            if not stored:
                budget.weigh(item)
            yield item

    def compared(self, value: Any) -> Any:
        """Pay for comparing `value`."""
        budget = spending()
        budget.spend(budget.weigh(value) / 256)
        return value

    def sliced(self, value: Any) -> Any:
        """Pay for a copy of a part of `value`."""
        if isinstance(value, str | list | tuple):
            spending().spend(len(value) / CHARACTERS)
        return value

    def joined(self, *parts: object) -> str:
        """`a ~ b`."""
        return template_filters.join(parts)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(_Meters().visit(source), *args, **kwargs)


_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}


class _Meters(NodeTransformer):
    """Puts the hooks into what Jinja2 compiles to bare Python: loops, comparisons, slices, keys and `~`."""

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        if type(node) in _REFUSED:
            raise TemplateAssertionError(f"{_REFUSED[type(node)]!r} is not supported here", node.lineno)
        return super().visit(node, *args, **kwargs)

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        if node.recursive:
            raise TemplateAssertionError("'recursive' loops are not supported here", node.lineno)
        fixed = sum(len(text.data) for part in node.body for text in _texts(part))
        self.generic_visit(node)
        node.iter = _hook("rounds", node.iter, nodes.Const(fixed))
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _hook("compared", node.expr)
        for operand in node.ops:
            operand.expr = _hook("compared", operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _hook("sliced", node.node)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.key, nodes.Const):
            node.key = _hook("compared", node.key)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _hook("joined", *node.nodes)


def _texts(part: nodes.Node) -> Iterator[nodes.TemplateData]:
    if isinstance(part, nodes.TemplateData):
        yield part
    yield from part.find_all(nodes.TemplateData)


def _hook(name: str, *arguments: nodes.Node) -> nodes.Call:
    line = arguments[0].lineno
    call = nodes.Call(
        nodes.EnvironmentAttribute(name, lineno=line), list(arguments), [], None, None, lineno=line
    )
    for node in (call, *call.find_all(nodes.Node)):
        node.environment = arguments[0].environment
    return call


@lru_cache(maxsize=1)
def _environment() -> MeteredEnvironment:
    return MeteredEnvironment()


@lru_cache(maxsize=32)
def _compiled(text: str) -> Template:
    return _environment().from_string(text)


def render(text: str, variables: Mapping[str, object], max_output: int = MAX_OUTPUT) -> str:
    """The rendered text, at most `max_output` UTF-8 bytes. Raises `TemplateProblem`."""
    if len(text) > MAX_TEMPLATE:
        raise TemplateProblem(0, f"the template is longer than {MAX_TEMPLATE} characters")
    try:
        with budgeted():
            return "".join(_limited(_compiled(text).generate(variables), max_output))
    except FAILURES as error:
        raise TemplateProblem(_line(error), _reason(error)) from error


def _limited(pieces: Iterable[str], max_output: int) -> Iterator[str]:
    size = 0
    for piece in pieces:
        clean = piece.encode("utf-8", "replace")
        size += len(clean)
        if size > max_output:
            raise Exhausted(f"the rendered text is larger than {max_output // 1024} KB")
        yield clean.decode("utf-8")


def _line(error: BaseException) -> int:
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply, or a macro calls itself without end"
    words = error.msg if isinstance(error, SyntaxError) else getattr(error, "message", None)
    text = (words or str(error)).strip().split("\n", 1)[0]
    return text[:300] or type(error).__name__
