"""`cascade check`: diagnoses the installation and says what to fix."""

from __future__ import annotations

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
    findings = diagnose(data_dir)
    problems = [one for one in findings if one.problem]
    if as_data:
        as_json([asdict(one) | {"problem": one.problem} for one in findings])
    else:
        for one in findings:
            click.echo(_line(one))
        result(say("problems", count=len(problems)) if problems else "ok")
    context.exit(1 if problems else 0)


def _line(finding: Finding) -> str:
    if not finding.problem:
        return f"ok    {finding.subject}: {finding.detail}"
    return f"FAIL  {finding.subject}: {finding.detail}\n      -> {finding.fix}"
