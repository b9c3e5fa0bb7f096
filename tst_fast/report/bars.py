"""Progress bars on a terminal, one per stage."""

from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tst_fast.report.metrics import STAGES, Evaluated, Event, PassEnded, StepsTaken
from tst_fast.report.observer import Observer, Opening


class Bars(Observer):
    """Progress bars, from the start of a run until they are closed.

    Args:
        console: the terminal.
        transient: remove them at the end.
    """

    def __init__(self, console: Console, transient: bool) -> None:
        columns = (
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[rate]}{task.fields[score]}"),
        )
        self._progress = Progress(*columns, console=console, transient=transient)
        self._tasks: dict[str, TaskID] = {}
        self._titles: Mapping[str, str] = {}

    def opened(self, opening: Opening) -> None:
        """Start the bars."""
        self._titles = opening.titles
        self._tasks = {
            stage: self._progress.add_task(title, total=opening.steps[stage], rate="", score="", start=False)
            for stage, title in STAGES.items()
            if opening.steps[stage]
        }
        self._progress.start()

    def event(self, event: Event) -> None:
        """Move the stage's bar."""
        match event:
            case StepsTaken() if event.stage in self._tasks:
                task = self._tasks[event.stage]
                self._progress.start_task(task)
                self._progress.update(task, completed=event.stage_step, rate=_rate(event))
            case PassEnded():
                self._progress.update(self._tasks[event.stage], rate=_rate(event))
            case Evaluated() if event.role == event.stage and event.role in self._tasks:
                name, title = next(iter(self._titles.items()))
                score = f", {title} {100 * event.scores[name]:.1f} %"
                self._progress.update(self._tasks[event.role], score=score)

    def close(self) -> None:
        """Stop the bars. Closing twice is allowed."""
        self._progress.stop()


def _rate(event: StepsTaken | PassEnded) -> str:
    return f"{event.images_per_second:,.0f} images/s"
