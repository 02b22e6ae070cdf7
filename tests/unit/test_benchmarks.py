"""The pure parts of the benchmarks: ideals, ratios, aims, and that each benchmark is found by its name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.__main__ import load, names, summary
from benchmarks.harness.feed_server import BODY_BYTES, address, feed_body
from benchmarks.harness.ideal import list_schedule, lower_bound
from benchmarks.harness.report import Aim, Report, Table, Value, percentile, ratio, with_ratios

DURATIONS = st.lists(st.floats(0.001, 10), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("durations", "slots", "schedule", "bound"),
    [
        ([0.5] * 1000, 200, 2.5, 2.5),
        ([0.5] * 1001, 200, 3.0, 3.0),
        (
            [1.0, 1.0, 10.0],
            2,
            11.0,
            10.0,
        ),  # the long one waits for a slot although it should have begun first
        ([10.0, 1.0, 1.0], 2, 10.0, 10.0),
        ([3.0], 8, 3.0, 3.0),
        ([2.0, 1.0, 1.0], 1, 4.0, 4.0),
    ],
)
def test_an_ideal_is_what_free_slots_reach_in_the_given_order(
    durations: list[float], slots: int, schedule: float, bound: float
) -> None:
    assert list_schedule(durations, slots) == pytest.approx(schedule)
    assert lower_bound(durations, slots) == pytest.approx(bound)


@given(DURATIONS, st.integers(1, 50))
def test_a_schedule_is_never_below_the_bound_nor_twice_as_long(durations: list[float], slots: int) -> None:
    schedule, bound = list_schedule(durations, slots), lower_bound(durations, slots)
    assert bound <= schedule * (1 + 1e-9)
    assert schedule <= 2 * bound * (1 + 1e-9)  # Graham's bound


def test_there_is_no_ideal_without_a_slot() -> None:
    with pytest.raises(ValueError, match="slot"):
        list_schedule([1.0], 0)


@pytest.mark.parametrize(("value", "base", "expected"), [(3, 2, 1.5), (1, 3, 0.33), (0.0123456, 1, 0.0123)])
def test_a_ratio_keeps_what_can_be_read(value: float, base: float, expected: float) -> None:
    assert ratio(value, base) == expected


def test_a_ratio_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        ratio(1, 0)


def test_rows_get_the_ratio_to_the_named_row_and_keep_the_rest() -> None:
    rows: list[dict[str, Value]] = [
        {"name": "ours", "wall": 3.0},
        {"name": "ideal", "wall": 2.0},
        {"name": "absent", "wall": None},
    ]
    found = with_ratios(rows, "wall", "ideal")
    assert [row["wall ratio"] for row in found] == [1.5, 1.0, None]
    assert [row["wall"] for row in found] == [3.0, 2.0, None]
    with pytest.raises(ValueError, match="nobody"):
        with_ratios(rows, "wall", "nobody")


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_an_aim_is_met_on_its_side_of_the_bound_only() -> None:
    assert Aim("x", 1.3, "at most", 1.3).met
    assert not Aim("x", 1.31, "at most", 1.3).met
    assert Aim("x", 6.0, "at least", 6.0).met
    assert not Aim("x", 5.9, "at least", 6.0).met


def test_a_report_says_as_data_what_it_found() -> None:
    report = Report(
        [Table("t", [{"name": "a", "x": 1}, {"name": "b", "y": 2}])], [Aim("x", 2, "at most", 1)], ["bad"]
    )
    assert report.tables[0].columns == ["name", "x", "y"]
    data = report.as_data()
    assert (data["aims"][0]["met"], data["broken"], data["tables"][0]["rows"][1]["y"]) == (False, ["bad"], 2)


def test_every_benchmark_is_found_by_name_and_says_what_it_measures() -> None:
    assert "fan-out" in names()
    for name in names():
        assert summary(name).endswith(".")
        assert callable(load(name).run)


def test_each_feed_of_the_stand_in_has_a_host_of_its_own_and_twenty_kilobytes() -> None:
    assert len({address(number) for number in range(1000)}) == 1000
    assert 0.99 * BODY_BYTES < len(feed_body()) <= BODY_BYTES
