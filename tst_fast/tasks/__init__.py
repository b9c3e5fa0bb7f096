"""Recognition, detection and segmentation: what a run asks of them is `task.Task`."""

from importlib import import_module

from accelerate import Accelerator

from tst_fast.config.schema import Config
from tst_fast.errors import UserError
from tst_fast.tasks.task import Task

CLASSES = {"classification": "Classification", "segmentation": "Segmentation", "detection": "Detection"}
"""The class of each task, in the module or package of its name; only the one asked for is imported."""


def make_task(config: Config, accelerator: Accelerator) -> Task:
    """The task that `config` names, once it has found nothing wrong in it.

    Raises:
        UserError: the configuration cannot work for this task.
    """
    batch, processes = config.data.batch_size, accelerator.num_processes
    if batch % processes:
        raise UserError(f"--data.batch_size must be a multiple of the number of processes, {processes}, got {batch}")
    task = getattr(import_module(f"tst_fast.tasks.{config.task}"), CLASSES[config.task])(config, accelerator)
    task.check()
    return task
