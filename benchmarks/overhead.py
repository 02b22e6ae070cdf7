"""Items per second when the work of an item is nothing, beside other queues that do the same two transactions per item.

Cascade begins and settles many items in one transaction each: that is what an allocation is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.harness.ours import Cascade
from benchmarks.harness.report import Aim, Options, Report, Table, Value, median, ratio
from benchmarks.harness.site import Site, site
from benchmarks.harness.subjects import Load, Measured, Subject, cpu_columns, in_turns
from benchmarks.peers.running import started

ITEMS, QUICK_ITEMS = 2000, 400
SLOTS = 200


def run(options: Options) -> Report:
    """Measure."""
    load = Load("nothing", (0.0,) * (QUICK_ITEMS if options.quick else ITEMS), SLOTS, fetch=False)
    with site(options.database) as place:
        results = in_turns(_subjects(place, options), [load], options.rounds)
    rows = results.of(load)
    report = Report([_table(load, rows, options)], broken=results.broken)
    peers = [_per_second(load, rounds) for name, rounds in rows.items() if name != "Cascade"]
    if "Cascade" in rows and peers:
        reached = ratio(_per_second(load, rows["Cascade"]), max(peers))
        report.aims.append(Aim("overhead: items/s / the best peer's", reached, "at least", 1.0))
    return report


def _subjects(place: Site, options: Options) -> list[Callable[[], Subject]]:
    found: list[Callable[[], Subject]] = [lambda: Cascade(place, None, SLOTS, options)]
    if options.peers and place.mariadb is not None:
        found += started(place, None, SLOTS)
    return found


def _per_second(load: Load, rounds: Sequence[Measured]) -> float:
    return len(load.delays) / median([one.whole_seconds for one in rounds])


def _table(load: Load, rows: dict[str, list[Measured]], options: Options) -> Table:
    ours = _per_second(load, rows["Cascade"]) if "Cascade" in rows else None
    table = Table(f"{len(load.delays)} items of no work; {load.slots} slots, {options.database}")
    for name, rounds in rows.items():
        per_second = _per_second(load, rounds)
        row: dict[str, Value] = {
            "name": name,
            "items/s": round(per_second),
            "items/s / ours": ratio(per_second, ours) if ours else None,
            "MB": round(max(one.megabytes for one in rounds)),
        }
        table.rows.append(row | cpu_columns(rounds))
    table.notes = [
        f"from the first hand-in to the last settle; median of {options.rounds} rounds; CPU: seconds for all items",
        "the peers are warm: their processes run and their connections stand, as ours do",
    ]
    return table
