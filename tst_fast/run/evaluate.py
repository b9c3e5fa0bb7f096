"""What checkpoints are worth: accuracy on the test images, and nothing else."""

from contextlib import closing

from accelerate import Accelerator
from rich.console import Console

from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.run.session import make_network
from tst_fast.tasks import accuracy, evaluation_loader, load_splits


def evaluate(config: Config, accelerator: Accelerator) -> dict[str, float]:
    """Accuracy, 0..1, of the teacher and of the student, of those that have a checkpoint; printed as well.

    Raises:
        UserError: neither has one.
    """
    roles = [role for role in ("teacher", "student") if getattr(config, role).checkpoint]
    if not roles:
        raise UserError("--evaluate_only needs --teacher.checkpoint, --student.checkpoint or both")
    console = Console(quiet=not accelerator.is_main_process, highlight=False)
    test = load_splits(config.data).test
    accuracies = {}
    with closing(evaluation_loader(config.data, test, accelerator)) as loader:
        for role in roles:
            network = make_network(config, role, len(test.classes), accelerator.device)
            accuracies[role] = accuracy(network, loader, config.data, accelerator)
            console.print(f"{role} accuracy on {len(test):,} test images: {100 * accuracies[role]:.2f} %")
    return accuracies
