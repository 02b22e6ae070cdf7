"""Cron expressions and time zones."""

from __future__ import annotations

import pytest

from backend.domain.errors import InvalidInput
from backend.domain.schedules import check_cron, check_time_zone


@pytest.mark.parametrize(
    ("expression", "normal"),
    [
        ("", ""),
        ("   ", ""),
        ("* * * * *", "* * * * *"),
        (" */5  8-18 * *   1-5 ", "*/5 8-18 * * 1-5"),
        ("0 9 1,15 * *", "0 9 1,15 * *"),
        ("0 0 L * *", "0 0 L * *"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 9 * * MON", "0 9 * * MON"),
        ("0 0 * * 7", "0 0 * * 7"),
    ],
)
def test_a_schedule_of_five_fields_is_kept_with_single_spaces(expression: str, normal: str) -> None:
    assert check_cron(expression) == normal


@pytest.mark.parametrize(
    "expression",
    [
        "* * * *",
        "0 * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "a b c d e",
        "*/0 * * * *",
        "@daily",
    ],
)
def test_what_is_no_schedule_is_refused_with_the_form_to_use(expression: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_cron(expression)
    assert refused.value.code == "bad_cron"
    assert "0 9 * * *" in str(refused.value)


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4,6 *"])
def test_a_schedule_that_never_fires_is_refused(expression: str) -> None:
    with pytest.raises(InvalidInput):
        check_cron(expression)


@pytest.mark.parametrize("name", ["UTC", "Asia/Shanghai", " Europe/Berlin "])
def test_a_time_zone_that_exists_is_kept(name: str) -> None:
    assert check_time_zone(name) == name.strip()


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "Asia", "../../etc/passwd", "/etc/localtime", "a\x00b", "时区"]
)
def test_a_time_zone_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_time_zone(name)
    assert refused.value.code == "bad_time_zone"
