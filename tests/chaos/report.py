"""What a chaos run prints: the counts, the faults by kind, the recoveries, and how to do the same again."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, fields

from tests.chaos.checker import Counts, Evidence, Verdict
from tests.chaos.injectors import NOTHING_THERE
from tests.chaos.recoveries import Recovery

SHOWN = 20


def report(evidence: Evidence, verdict: Verdict, seed: int, seconds: float, quiet: float) -> str:
    """The whole text."""
    lines = [f"chaos: seed {seed}, {seconds:g} s of faults, {quiet:.1f} s until everything had ended", ""]
    heads = [one.name for one in fields(Counts)]
    lines.append(f"{'':12}" + "".join(f"{head:>14}" for head in heads))
    for name, counts in verdict.counts.items():
        lines.append(f"{name:12}" + "".join(f"{count:>14}" for count in astuple(counts)))
    lines += ["", *_work(evidence), *_last(evidence), "", *_faults(evidence), "", *_recoveries(evidence), ""]
    lines.append(f"violations: {len(verdict.violations)}")
    for promise, count in Counter(one.promise for one in verdict.violations).most_common():
        lines.append(f"  {count} × {promise}")
    lines += [f"  - {one.promise}: {one.detail}" for one in verdict.violations[:SHOWN]]
    if verdict.violations:
        lines += ["", f"again: {again(seed, seconds)}"]
    return "\n".join(lines)


def again(seed: int, seconds: float) -> str:
    """The command that replays the run: the same faults and the same load, on a machine that times them its own way."""
    return f"./cascade test tests/chaos --chaos-seed {seed} --chaos-seconds {seconds:g}"


def _work(evidence: Evidence) -> list[str]:
    tables = evidence.tables
    states = {
        "runs": Counter(one.state for one in tables.runs),
        "items": Counter(one.state for one in tables.items),
        "allocations": Counter(f"{one.kind} {one.state}" for one in tables.allocations),
        "deliveries": Counter(one.state for one in tables.deliveries),
        "failed items": Counter(one.error_code for one in tables.items if one.state == "failed"),
        "visits": Counter(str(one.status) for one in evidence.visits),
        "answers": evidence.journals.asked,
    }
    return [
        f"{name}: {sum(counts.values())} ({', '.join(f'{count} {state}' for state, count in sorted(counts.items()))})"
        for name, counts in states.items()
    ]


def _last(evidence: Evidence) -> list[str]:
    """What ended last, in seconds after the last fault: what the quiet period was waited for."""
    tables = evidence.tables
    steps = [(one.at, f"allocation {one.source} -> {one.target} ({one.reason})") for one in tables.steps]
    items = [(one.ended_at, f"item {one.state}") for one in tables.items if one.ended_at]
    sent = [(one.ended_at, f"delivery {one.state}") for one in tables.deliveries if one.ended_at]
    runs = [(one.ended_at, f"run {one.state}") for one in tables.runs if one.ended_at]
    last = sorted((max(found) for found in (steps, items, sent, runs) if found), reverse=True)
    return ["last ends: " + ", ".join(f"{at - evidence.calm_at:+.1f} s {text}" for at, text in last)]


def _faults(evidence: Evidence) -> list[str]:
    injected = evidence.journals.injected
    done = Counter(one.kind for one in injected if one.detail != NOTHING_THERE)
    missed = len(injected) - sum(done.values())
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(done.items()))
    return [f"faults: {sum(done.values())} injected ({said}); {missed} found nothing to break"]


def _recoveries(evidence: Evidence) -> list[str]:
    found = sorted(evidence.recoveries, key=lambda one: -one.seconds)
    lines = [f"recoveries: {len(found)}"]
    own = [one for one in found if not one.node.startswith("child")]
    if own:
        lines.append(f"longest time to recover, our own nodes: {_told(own[0])}")
    theirs = [one for one in found if one.node.startswith("child")]
    if theirs:
        lines.append(f"longest time to recover, WeRSS children: {_told(theirs[0])}")
    lines.append(f"late settles refused: {evidence.leftovers.refused_settles}")
    lines.append(f"longest time that a lease was over: {evidence.leftovers.longest_overdue:.1f} s")
    return lines


def _told(one: Recovery) -> str:
    after = one.lost_at - one.fault_at
    return f"{one.seconds:.1f} s (after {one.fault or 'an unknown cause'}; noticed after {after:.1f} s)"
