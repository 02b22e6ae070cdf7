"""Cron expressions and time zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain import schedules
from backend.domain.errors import InvalidInput
from backend.domain.overlap import Overlap, Verdict, decide
from backend.domain.schedule_words import in_words
from backend.domain.schedules import Schedule, check_cron, check_time_zone, due_ticks
from backend.domain.werss_schedules import Converted, from_werss
from tests.fire_times import ZONES, expected

YEAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


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


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def local(cron: str, zone: str, after: datetime, count: int) -> list[str]:
    """The next fire times as that zone's clocks show them, with the offset."""
    times = islice(Schedule(cron, zone).after(after), count)
    return [one.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for one in times]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "times"),
    [
        # Spring in Berlin: 02:00 to 03:00 does not exist on the 29th.
        ("30 2 * * *", "Europe/Berlin", utc(2026, 3, 28, 12), ["29 03:00 +0200", "30 02:30 +0200"]),
        ("15,45 2 * * *", "Europe/Berlin", utc(2026, 3, 28, 12), ["29 03:00 +0200", "30 02:15 +0200"]),
        ("0 2,3 * * *", "Europe/Berlin", utc(2026, 3, 28, 12), ["29 03:00 +0200", "30 02:00 +0200"]),
        ("30 * * * *", "Europe/Berlin", utc(2026, 3, 29, 0, 0), ["29 01:30 +0100", "29 03:30 +0200"]),
        ("*/30 2 * * *", "Europe/Berlin", utc(2026, 3, 28, 12), ["30 02:00 +0200", "30 02:30 +0200"]),
        # Autumn in Berlin: 02:00 to 03:00 occurs twice on the 25th.
        ("30 2 * * *", "Europe/Berlin", utc(2026, 10, 24, 12), ["25 02:30 +0200", "26 02:30 +0100"]),
        ("30 2 * * *", "Europe/Berlin", utc(2026, 10, 25, 1, 15), ["26 02:30 +0100"]),
        ("30 * * * *", "Europe/Berlin", utc(2026, 10, 25, 0), ["25 02:30 +0200", "25 02:30 +0100"]),
        (
            "*/30 2 * * *",
            "Europe/Berlin",
            utc(2026, 10, 24, 12),
            ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "26 02:00 +0100"],
        ),
        # Half an hour on Lord Howe: 01:30 to 02:00 twice in April, 02:00 to 02:30 never in October.
        ("45 * * * *", "Australia/Lord_Howe", utc(2026, 4, 4, 14), ["05 01:45 +1100", "05 01:45 +1030"]),
        ("15 2 * * *", "Australia/Lord_Howe", utc(2026, 10, 3, 12), ["04 02:30 +1100", "05 02:15 +1100"]),
        # Midnight does not exist in Cairo on the 24th of April.
        ("0 0 * * *", "Africa/Cairo", utc(2026, 4, 23, 12), ["24 01:00 +0300", "25 00:00 +0300"]),
        ("0 9 * * *", "Asia/Shanghai", utc(2026, 3, 28, 12), ["29 09:00 +0800", "30 09:00 +0800"]),
    ],
)
def test_where_clocks_change_the_rules_hold(cron: str, zone: str, after: datetime, times: list[str]) -> None:
    assert local(cron, zone, after, len(times)) == times


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", ["45 1 * * *", "15,45 1,2,3 * * 0,4", "45 * * * *", "* 2 * * 0"])
def test_a_year_is_what_a_look_at_the_clock_each_quarter_finds(cron: str, zone: str) -> None:
    step = 1 if cron.startswith("*") else 15
    start, end = YEAR if step == 15 else (utc(2026, 10, 1), utc(2026, 11, 8))
    found = list(islice(Schedule(cron, zone).after(start - timedelta(minutes=1)), 20_000))
    assert [one for one in found if one < end] == expected(cron, zone, start, end, step)


@given(
    cron=st.sampled_from(
        ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 0 L * *", "5 1,2,3 * * 0", "0 0 29 2 *"]
    ),
    zone=st.sampled_from([*ZONES, "UTC", "Africa/Cairo", "America/Havana", "Pacific/Apia", "Asia/Beirut"]),
    moment=st.integers(0, 60 * 24 * 365 * 60).map(
        lambda minutes: utc(1995, 1, 1) + timedelta(minutes=minutes)
    ),
)
def test_fire_times_rise_lie_ahead_and_do_not_depend_on_where_one_starts(
    cron: str, zone: str, moment: datetime
) -> None:
    schedule = Schedule(cron, zone)
    times = list(islice(schedule.after(moment), 6))
    assert times == sorted(set(times))
    assert times[0] > moment
    assert list(islice(schedule.after(times[1]), 4)) == times[2:]
    assert schedule.next_after(times[0] - timedelta(microseconds=1)) == times[0]


def test_what_is_due_is_counted_up_to_now_with_the_next_time_behind_it() -> None:
    hourly = Schedule("0 * * * *")
    first = utc(2026, 1, 1, 1)
    assert due_ticks(hourly, first, first) == schedules.Due(first, first, 1, utc(2026, 1, 1, 2))
    late = due_ticks(hourly, first, utc(2026, 1, 1, 5, 59))
    assert (late.last, late.count, late.next_at) == (utc(2026, 1, 1, 5), 5, utc(2026, 1, 1, 6))


def test_counting_is_bounded_and_the_next_time_is_still_ahead() -> None:
    due = due_ticks(Schedule("* * * * *"), utc(2026, 1, 1), utc(2027, 1, 1))
    assert (due.count, due.next_at) == (schedules.MOST_COUNTED, utc(2027, 1, 1, 0, 1))


def test_the_next_fire_times_start_with_the_planned_one() -> None:
    daily = Schedule("0 9 * * *", "Asia/Shanghai")
    assert daily.upcoming(utc(2026, 1, 1, 1), 3) == [utc(2026, 1, day, 1) for day in (1, 2, 3)]
    assert daily.upcoming(None, 3) == []


@pytest.mark.parametrize(
    ("cron", "english", "chinese"),
    [
        ("", "By hand", "手动执行"),
        ("* * * * *", "Every minute", "每分钟"),
        ("0 9 * * *", "At 09:00", "在 09:00"),
        ("30 9 * * 1-5", "At 09:30, Monday through Friday", "在 09:30，星期一到星期五"),
        (
            "0 0 29 2 *",
            "At 00:00, on day 29 of the month, only in February",
            "在 00:00，每月的 29 号，仅在 2 月",
        ),
        ("0 9 * * 7", "At 09:00, only on Sunday", "在 09:00，仅在星期日"),
        ("0 9 * * 1#2", "At 09:00, on the second Monday of the month", "在 09:00，每月的第二个星期一"),
        # Either is enough here, and both must match where one starts with a star.
        ("0 9 13 * 5", "At 09:00, on day 13 of the month, or on Friday", "在 09:00，每月的 13 号，或星期五"),
        ("0 9 */2 * 1", "At 09:00, every 2 days, only on Monday", "在 09:00，每 2 天，仅在星期一"),
        (
            "5/10 * * * *",
            "Every 10 minutes, minutes 5 through 59 past the hour",
            "每 10 分钟，在每小时的 5 到 59 分钟",
        ),
    ],
)
def test_a_schedule_is_said_in_words(cron: str, english: str, chinese: str) -> None:
    assert (in_words(cron, "en"), in_words(cron, "zh")) == (english, chinese)


FIELD = st.sampled_from(["*", "*/2", "1", "1,3", "2-4", "1-5/2", "3/2"])


@given(st.tuples(FIELD, FIELD, FIELD, FIELD, FIELD).map(" ".join))
def test_whatever_the_check_accepts_can_be_said_and_fires(cron: str) -> None:
    normal = check_cron(cron)
    assert in_words(normal, "en")
    assert not any(name in in_words(normal, "zh") for name in ("day", "Mon", "March"))
    assert Schedule(normal).next_after(utc(2026, 1, 1)) is not None


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("", Converted("")),
        ("0 9 * * *", Converted("0 9 * * *")),
        ("0 */5 * * * *", Converted("*/5 * * * *")),
        ("30 0 9 * * 7", Converted("0 9 * * 7", ("werss_second_dropped",))),
        ("0 9 ? * 1", Converted("0 9 * * 1")),
        ("*/1~3 * * * *", Converted("*/2 * * * *", ("werss_random_fixed",))),
        ("0 0~59 8 * * *", Converted("29 8 * * *", ("werss_random_fixed",))),
    ],
)
def test_a_schedule_of_werss_becomes_ours(theirs: str, ours: Converted) -> None:
    assert from_werss(theirs) == ours


@pytest.mark.parametrize(
    ("theirs", "code"),
    [
        ("* * * * * *", "werss_seconds"),
        ("*/10 * * * * *", "werss_seconds"),
        ("0,30 0 9 * * *", "werss_seconds"),
        ("0 9 13 * 5", "werss_both_days"),
        ("nonsense", "bad_cron"),
        ("0 0 9 * * * *", "bad_cron"),
    ],
)
def test_a_schedule_of_werss_that_would_mean_something_else_says_why(theirs: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        from_werss(theirs)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("policy", "states", "verdict"),
    [
        *((policy, set[str](), Verdict.START) for policy in Overlap),
        (Overlap.ALLOW, {"running", "queued"}, Verdict.START),
        (Overlap.SKIP, {"running"}, Verdict.SKIP),
        (Overlap.SKIP, {"queued"}, Verdict.SKIP),
        (Overlap.QUEUE, {"expanding"}, Verdict.WAIT),
        (Overlap.QUEUE, {"running"}, Verdict.WAIT),
        (Overlap.QUEUE, {"running", "queued"}, Verdict.JOIN),
        (Overlap.QUEUE, {"queued"}, Verdict.JOIN),
    ],
)
def test_the_policy_decides_about_overlapping_runs(
    policy: Overlap, states: set[str], verdict: Verdict
) -> None:
    assert decide(policy, states) is verdict
