"""`cascade check`: diagnoses the installation and says what to fix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from backend.cli import options
from backend.cli.diagnosis import diagnose
from backend.cli.findings import Finding
from backend.cli.language import say
from backend.cli.output import as_json, result


@click.command()
@options.as_json
@options.data_dir
@click.pass_context
def check(context: click.Context, as_data: bool, data_dir: Path | None) -> None:
    """Diagnose configuration, database, Redis and queues; the last line is `ok` or the number of problems."""
    context.exit(report(diagnose(data_dir), as_data=as_data))


def report(findings: Sequence[Finding], *, as_data: bool = False) -> int:
    """Print them; 1 when one is a problem, else 0."""
    problems = [one for one in findings if one.problem]
    if as_data:
        as_json([asdict(one) | {"problem": one.problem} for one in findings])
    else:
        for one in findings:
            click.echo(_line(one))
        result(say("problems", count=len(problems)) if problems else "ok")
    return 1 if problems else 0


def _line(finding: Finding) -> str:
    if not finding.fix:
        return f"ok    {finding.subject}: {finding.detail}"
    word = "WARN" if finding.warns else "FAIL"
    return f"{word}  {finding.subject}: {finding.detail}\n      -> {finding.fix}"
