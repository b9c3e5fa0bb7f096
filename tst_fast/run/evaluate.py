"""Evaluation of networks on the test images."""

from collections.abc import Callable
from contextlib import closing

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import nn

from tst_fast.config.data import DataConfig
from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.report.console import say
from tst_fast.report.counter import Counter
from tst_fast.run.session import make_network
from tst_fast.tasks import make_task
from tst_fast.tasks.metrics import Evaluation
from tst_fast.tasks.task import Role, Task
from tst_kernels import normalise
from tst_pipelines import DataError, Loader, skip_to_next_epoch


@torch.no_grad()
def evaluate(
    network: nn.Module,
    loader: Loader,
    task: Task,
    data: DataConfig,
    accelerator: Accelerator,
    batches: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Evaluation:
    """The task's scores over all images of all ranks.

    Args:
        network: unwrapped; it is put in eval mode and left so.
        loader: gives each image once.
        task: what is counted.
        data: mean and std.
        accelerator: for autocast and the sums over ranks.
        batches: of each rank, at most; None: all.
        advance: called after each batch.

    Raises:
        DataError: the images have no labels. Of a few batches it is no mistake, and the scores are 0.
    """
    network.eval()
    evaluator = task.evaluator(loader.dataset)
    for batch in loader:
        with accelerator.autocast():
            output = task.predict(network, normalise(batch.images, data.mean, data.std))
        evaluator.update(output, batch)
        advance()
        if loader.step == batches:
            skip_to_next_epoch(loader)
            break
    found = evaluator.result(accelerator)
    if not found.scores and batches is None:
        raise DataError(f"none of the {len(loader.dataset):,} test images has a label: there is nothing to evaluate on")
    return found if found.scores else Evaluation({metric.name: 0.0 for metric in task.metrics}, {})


def evaluate_checkpoints(config: Config, accelerator: Accelerator) -> dict[str, dict[str, float]]:
    """The scores of the teacher and of the student, of those that have a checkpoint; printed as well.

    Raises:
        UserError: neither has one.
    """
    roles: list[Role] = [role for role in ("teacher", "student") if getattr(config, role).checkpoint]
    if not roles:
        raise UserError("--evaluate_only needs --teacher.checkpoint, --student.checkpoint or both")
    console = Console(quiet=not accelerator.is_main_process)
    task = make_task(config, accelerator)
    test = task.splits().test
    found = {}
    with closing(task.evaluation_loader(test)) as loader:
        for role in roles:
            network = make_network(config, role, task, test, accelerator.device)
            with Counter(console, f"{role}, batches of test images", loader.steps_per_epoch) as counter:
                evaluated = evaluate(network, loader, task, config.data, accelerator, advance=counter.advance)
            found[role] = evaluated.scores
            for metric in task.metrics:
                if (score := found[role].get(metric.name)) is not None:
                    say(console, f"{role} {metric.title} on {len(test):,} test images: {100 * score:.2f} %")
    return found
