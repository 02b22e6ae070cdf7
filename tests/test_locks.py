"""The locks: complete, hashed, free of paths and registries, and equal to what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.txt", "requirements-dev.txt")
BENCH = "requirements-bench.txt"
BROWSER = "requirements-browser.txt"
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(lock: str) -> list[str]:
    """The logical lines of a lock: one pin with its hashes each."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def pins(lock: str) -> dict[str, set[str]]:
    """Package -> its pinned versions (several when they differ by marker)."""
    found: dict[str, set[str]] = {}
    for entry in entries(lock):
        requirement = Requirement(HASH.sub("", entry))
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        found.setdefault(canonicalize_name(requirement.name), set()).add(specifier.version)
    return found


@pytest.mark.parametrize("lock", [*LOCKS, BENCH])
def test_every_entry_is_a_pin_with_hashes_and_nothing_else(lock: str) -> None:
    bad = [entry for entry in entries(lock) if not HASH.search(entry) or entry.lstrip().startswith("-")]
    assert bad == []
    # Neither a path nor a URL can be installed on another machine, and a registry is the operator's choice.
    assert (
        re.findall(
            r"(?i)\S*(?:://|file:| @ |\./|--(?:extra-)?index|--find-links)\S*", (ROOT / lock).read_text()
        )
        == []
    )


def _asked() -> list[tuple[str, str]]:
    project = PROJECT["project"]
    runtime = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    both = [(lock, text) for text in runtime for lock in LOCKS]
    extras = {"requirements-dev.txt": "dev", BENCH: "bench", BROWSER: "browser"}
    return both + [
        (lock, text) for lock, extra in extras.items() for text in project["optional-dependencies"][extra]
    ]


@pytest.mark.parametrize(("lock", "text"), _asked())
def test_what_the_project_asks_for_is_locked_at_an_allowed_version(lock: str, text: str) -> None:
    requirement = Requirement(text)
    versions = pins(lock).get(canonicalize_name(requirement.name), set())
    assert versions
    assert all(requirement.specifier.contains(version, prereleases=True) for version in versions)


def test_tests_run_with_the_versions_that_users_get() -> None:
    runtime, everything = pins("requirements.txt"), pins("requirements-dev.txt")
    assert {name: versions for name, versions in runtime.items() if everything.get(name) != versions} == {}


def test_the_browser_comes_with_the_versions_that_users_and_tests_have() -> None:
    runtime, tested, extra = (pins(lock) for lock in ("requirements.txt", "requirements-dev.txt", BROWSER))
    assert {name: versions for name, versions in runtime.items() if extra.get(name) != versions} == {}
    assert {name: versions for name, versions in extra.items() if tested.get(name) != versions} == {}


def test_benchmarks_run_with_the_versions_of_the_tests_and_bring_nothing_into_their_locks() -> None:
    tested, benchmarked = pins("requirements-dev.txt"), pins(BENCH)
    assert {
        name: versions for name, versions in tested.items() if benchmarked.get(name, versions) != versions
    } == {}
    peers = {
        canonicalize_name(Requirement(text).name)
        for text in PROJECT["project"]["optional-dependencies"]["bench"]
    }
    assert peers & tested.keys() == set()
