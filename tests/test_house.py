"""The house budget: short functions, few broad excepts, no hidden imports, sentences for every error code."""

from __future__ import annotations

import ast
import re
import statistics
import string
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from backend.domain.messages import CATALOGUE, LANGUAGES, REPEATED

ROOT = Path(__file__).resolve().parents[1]
MIGRATIONS = ROOT / "backend" / "store" / "migrations"
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# Generated once and never edited again: the budget of hand-written code says nothing about them.
PRODUCT = [ROOT / "config.py", ROOT / "config_values.py", *sorted(ROOT.glob("*.conf.py"))] + [
    path for path in sorted((ROOT / "backend").rglob("*.py")) if MIGRATIONS not in path.parents
]
LONG_BY_NATURE = re.compile(r"config(_values)?\.py|backend/(store/tables|(\w+/)?schemas|domain/messages)\b")
MOCKING = {"patch", "Mock", "MagicMock", "AsyncMock", "monkeypatch", "mocker", "MonkeyPatch"}
DEBRIS = re.compile(
    r"(_v\d+|_(final|new|old|copy|backup|fixed|enhanced|improved|ultimate))\.\w+$|(^|/)(utils?|helpers?|managers?)\b|"
    r"\.(orig|rej|bak|swp)$|(summary|report|fix(es)?|complete)\.md$",
    re.IGNORECASE,
)

# Where work ends or a process begins, any error must become a record or an exit code: module:function -> why.
BROAD_EXCEPTS: dict[str, str] = {
    "backend.bootstrap:try_plugins": "somebody else's plug-in may fail in any way at import; the rest must go on",
    "backend.dispatch.beat:_attempt": "a process edge: one bad row must not stop the other steps of every beat",
    "backend.dispatch.sweeping:_run": "a process edge: one bad row must not keep the other repairs from being made",
    "backend.dispatch.telling:_attempt": "a thread edge: whatever a notifier raises, its message is tried again",
    "backend.dispatch.watching:keep_watching": "a thread edge: one bad row must not end all alarms of a process",
    "backend.dispatch.scheduler:_try_to_fire": "a job edge: one task's bad row must not keep the others from firing",
    "backend.workers.deliver:freeze": "a job edge: nothing was sent yet, so it is a failure like any other",
    "backend.workers.deliver:_record": "a job edge: what was answered is kept for the settle",
    "backend.workers.deliver:prepare": "a job edge: a body that can't be made is one delivery's failure",
    "backend.workers.deliver:send": "a job edge: whatever a notifier raises ends one delivery",
    "backend.workers.execution:_work": "a job edge: a bug must end as a failure that a person can read",
    "backend.workers.execution:_settle_or_keep": "a job edge: the outcome goes to the outbox instead of getting lost",
    "backend.workers.outbox:_drain": "a job edge: an entry that can't be applied must not stop those behind it",
    "backend.workers.sharing:_commit": "a job edge: who waits for the transaction must hear how it ended",
    "backend.workers.update:_report": "a job edge: results that can't be stored now are kept for the settle",
    "backend.workers.forking:fork_child": "a process edge: logged, and the supervisor starts what it needs again",
    "backend.workers.lane:_execute": "a job edge: logged, then the lease runs out and the sweeper recovers the work",
    "backend.workers.leases:_run": "a thread edge: without this thread all work of the process would be lost",
    "backend.workers.update:collect": "a job edge: whatever a source raises ends one item",
    "backend.workers.publish:run": "job edge: one publish task fails, and says whether it was submitted",
    "backend.workers.account:run": "job edge: one errand of an account fails, told with its class only",
}


@cache
def tree(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def place(path: Path) -> str:
    """The path as people name it."""
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of the file, nested ones too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def function_lengths() -> dict[str, int]:
    """Lines from `def` to the end, by place."""
    return {
        f"{place(path)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in PRODUCT
        for node in functions(path)
    }


def test_no_function_is_longer_than_fifty_lines() -> None:
    assert {name: lines for name, lines in function_lengths().items() if lines > 50} == {}


def test_functions_are_short_in_the_median_and_in_the_ninetieth_percentile() -> None:
    lengths = list(function_lengths().values())
    assert statistics.median(lengths) <= 8
    assert statistics.quantiles(lengths, n=10)[-1] <= 25


def test_modules_are_short() -> None:
    lines = {place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PRODUCT}
    limits = {name: 500 if LONG_BY_NATURE.match(name) else 350 for name in lines}
    assert {name: count for name, count in lines.items() if count > limits[name]} == {}
    assert statistics.median(count for count in lines.values() if count > 1) <= 150


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    names = {node.id for node in ast.walk(caught) if isinstance(node, ast.Name)}
    return bool(names & {"Exception", "BaseException"})


def _catches_everything(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        return _is_broad(node.type)
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
        return any(_is_broad(argument) for argument in node.args)
    return False


def _broad_excepts(node: ast.AST, module: str, function: str = "") -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if _catches_everything(child):
            yield f"{module}:{inside}"
        yield from _broad_excepts(child, module, inside)


def test_broad_excepts_stand_only_where_the_list_says_why() -> None:
    found = {
        name
        for path in PRODUCT
        for name in _broad_excepts(tree(path), place(path).removesuffix(".py").replace("/", "."))
    }
    assert found == BROAD_EXCEPTS.keys()
    assert all(BROAD_EXCEPTS.values())


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["backend" if node.level else node.module or ""]
    return []


def test_own_modules_are_imported_at_the_top() -> None:
    hidden = [
        f"{place(path)}:{node.lineno}"
        for path in PRODUCT
        if not place(path).startswith("backend/cli/")
        for node in functions(path)
        for inner in ast.walk(node)
        if any(name.partition(".")[0] in {"backend", "config"} for name in _imported(inner))
    ]
    assert hidden == []


def _uses(path: Path, dotted: str) -> list[str]:
    owner, _, name = dotted.rpartition(".")
    return [
        f"{place(path)}:{node.lineno}"
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == dotted)
        or (
            isinstance(node, ast.ImportFrom) and node.module == owner and name in [a.name for a in node.names]
        )
    ]


def _calls(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), f"{place(path)}:{node.lineno}"


def test_nothing_bends_the_import_path() -> None:
    assert [use for path in [*PRODUCT, *TESTS] for use in _uses(path, "sys.path")] == []


def test_nothing_prints() -> None:
    printed = [
        where for path in PRODUCT for name, where in _calls(path) if name in {"print", "pprint.pprint"}
    ]
    assert printed == []


def test_tests_do_not_sleep() -> None:
    awake = [path for path in TESTS if not place(path).startswith("tests/chaos/")]
    slept = [where for path in awake for name, where in _calls(path) if name.rpartition(".")[2] == "sleep"]
    assert slept == []


def _names(node: ast.AST) -> set[str]:
    used = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    used |= {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
    return used | {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}


def test_at_most_fifteen_percent_of_tests_use_mocks() -> None:
    tests = [node for path in TESTS for node in functions(path) if node.name.startswith("test_")]
    mocked = [node.name for node in tests if _names(node) & MOCKING]
    assert len(mocked) <= 0.15 * len(tests), sorted(mocked)


def _base_names(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base).rpartition(".")[2] for base in node.bases}


def error_classes() -> set[str]:
    """The names of all subclasses of `CascadeError`, wherever they stand."""
    classes = [n for path in PRODUCT for n in ast.walk(tree(path)) if isinstance(n, ast.ClassDef)]
    found = {"CascadeError"}
    while more := {node.name for node in classes if _base_names(node) & found} - found:
        found |= more
    return found


def _code_of(call: ast.Call) -> str | None:
    given = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "code")]
    codes = [node.value for node in given if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return codes[0] if codes else None


def used_codes() -> dict[str, str]:
    """Error code -> a place that raises, renders or defaults to it."""
    makers = error_classes() | {"Failure", "render"}
    found = {}
    for path in PRODUCT:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in makers:
                code = _code_of(node)
            elif (
                isinstance(node, ast.Assign | ast.AnnAssign)
                and "default_code" in ast.unparse(node).split("=")[0]
            ):
                code = ast.literal_eval(node.value) if node.value else None
            else:
                continue
            if code:
                found[code] = f"{place(path)}:{node.lineno}"
    return found


def test_every_error_code_has_its_sentences() -> None:
    assert {code: where for code, where in used_codes().items() if code not in CATALOGUE} == {}


def test_no_code_stands_in_two_parts_of_the_catalogue() -> None:
    assert REPEATED == []


def test_no_sentence_is_left_over() -> None:
    catalogue = ROOT / "backend" / "domain" / "messages"
    said = {
        node.value
        for path in PRODUCT
        if catalogue not in path.parents
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert sorted(CATALOGUE.keys() - said) == []


@pytest.mark.parametrize("code", CATALOGUE)
def test_both_sentences_of_a_code_exist_and_name_the_same_things(code: str) -> None:
    sentences = CATALOGUE[code]
    assert len(sentences) == len(LANGUAGES)
    assert all(sentence.strip() for sentence in sentences)
    english, chinese = ({name for _, name, _, _ in string.Formatter().parse(s) if name} for s in sentences)
    assert english == chinese


def test_no_file_is_named_like_debris() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.splitlines() or [place(path) for path in [*PRODUCT, *TESTS]]
    assert [name for name in names if DEBRIS.search(name)] == []


def test_the_migrations_have_one_head_and_four_digit_names() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert len(scripts.get_heads()) == 1
    versions = [path.name for path in sorted((MIGRATIONS / "versions").glob("*.py"))]
    assert [name for name in versions if not re.match(r"\d{4}_[a-z0-9_]+\.py$", name)] == []
    assert [script.revision for script in scripts.walk_revisions()] == [
        name[:4] for name in reversed(versions)
    ]
