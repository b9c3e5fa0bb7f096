"""`tst-fast doctor CONFIG`: what would spoil a long run, found in a minute before it."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tst_fast.config import reading
from tst_fast.config.schema import Config
from tst_fast.errors import Finding, UserError, errors_as_messages, printable
from tst_fast.report.counter import Counter

MARKS = {"good": "[green]✓[/]", "doubtful": "[yellow]![/]", "wrong": "[red]✗[/]"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Examine a configuration; exit status 1 if something is wrong."""
    with errors_as_messages():
        words = list(sys.argv[1:] if arguments is None else arguments)
        if words and not words[0].startswith("-"):
            words.insert(0, "--config")
        parser = reading.make_parser(
            "tst-fast doctor", "Check for mistakes that would spoil a run, and estimate its time."
        )
        parser.add_argument("--images", type=int, default=2000, help="number of test images to evaluate the teacher on")
        reading.add_config(parser)
        config, options = reading.parse(parser, words)
        if options.images < 1:
            raise UserError(f"--images is {options.images}: it must be 1 or more")
        # What runs networks takes seconds to import, and a mistyped flag should not.
        from tst_fast.commands.doctor_checks import examine
        from tst_fast.run.start import start_accelerator

        accelerator = start_accelerator()
        if accelerator.num_processes > 1:
            raise UserError("the doctor examines one process: run `tst-fast doctor` without a launcher")
        console, findings = Console(highlight=False), list[Finding]()
        with Counter(console, "checks") as counter:
            for finding in examine(config, accelerator, options.images):
                findings.append(finding)
                counter.advance()
        console.print(_table(config, findings))
        accelerator.end_training()
    if any(finding.state == "wrong" for finding in findings):
        sys.exit(1)


def _table(config: Config, findings: list[Finding]) -> Table:
    table = Table(title=f"{config.name}: before the run", title_justify="left", show_lines=True)
    for name in ("", "check", "found", "what to do"):
        table.add_column(name)
    for finding in findings:
        words = (finding.check, finding.found, finding.remedy)
        table.add_row(MARKS[finding.state], *(Text(printable(word)) for word in words))
    return table
