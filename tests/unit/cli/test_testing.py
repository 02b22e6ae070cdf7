"""`./cascade test` provides what the tests drive, and its steps count."""

from __future__ import annotations

import pytest

from backend.cli.testing import PACKAGES, find_program, is_missing, provide_programs, run, side_by_side

NEEDED = {"sh": ("dash",), "no-such-server": ("server-core", "client-core"), "no-such-tool": ("client-core",)}


def test_what_is_there_is_not_installed_again() -> None:
    assert provide_programs({"sh": ("dash",)}, lambda *_: pytest.fail("nothing to install")) == ""


@pytest.mark.parametrize("installer_claims_success", [True, False])
def test_what_cannot_be_installed_is_named_with_its_command(installer_claims_success: bool) -> None:
    asked: list[tuple[str, ...]] = []

    def install(*packages: str) -> bool:
        asked.append(packages)
        return installer_claims_success

    sentence = provide_programs(NEEDED, install)
    assert asked == [("client-core", "server-core")]
    assert sentence.endswith("apt-get install -y --no-install-recommends client-core server-core")


def test_no_package_that_starts_a_service_is_ever_installed() -> None:
    packages = {package for needed in PACKAGES.values() for package in needed}
    assert packages == {"mariadb-server-core", "mariadb-client-core", "chromium", "iproute2"}


def test_servers_are_found_outside_a_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_program("mariadbd").startswith("/")
    assert is_missing("no-such-server")


@pytest.mark.parametrize(("code", "passed"), [(0, True), (1, False), (5, False)])
def test_a_step_passes_only_with_exit_code_zero(code: int, passed: bool) -> None:
    assert run("step", ("python", "-c", f"raise SystemExit({code})")) is passed


@pytest.mark.parametrize(("cores", "processes"), [(1, "2"), (2, "4"), (8, "16"), (64, "16")])
def test_a_whole_run_uses_two_processes_for_each_core_within_reason(cores: int, processes: str) -> None:
    assert side_by_side(cores)[:2] == ("-n", processes)
