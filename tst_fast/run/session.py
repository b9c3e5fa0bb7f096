"""Everything that a run works with, made from its configuration: data, networks, policy and what updates each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from tst_fast.config.schema import Config, replace
from tst_fast.errors import UserError
from tst_fast.models import load_weights
from tst_fast.models.evaluation import with_preparation
from tst_fast.models.features import pair_features
from tst_fast.models.folding import fold_batch_norms
from tst_fast.models.normalised import Normalisation, normalised, published_normalisation
from tst_fast.models.weights import require_class_order
from tst_fast.policy.alignment import Fit, aligned_encoders
from tst_fast.policy.augmenter import Augmenter
from tst_fast.policy.file import policy_file
from tst_fast.policy.policy import Policy
from tst_fast.run.forward import check_forward, check_training_output
from tst_fast.run.images import can_be_channels_last
from tst_fast.run.plan import Pass, Stage, plan, rehearsal, search_of, search_steps
from tst_fast.run.search import PolicySearch
from tst_fast.run.seeding import Stream, reseed
from tst_fast.run.student import FromLabels, FromTeacher
from tst_fast.run.update import Loss, ModelUpdate
from tst_fast.tasks import make_task
from tst_fast.tasks.task import Role, Task
from tst_pipelines import Batch, Dataset, Loader, TwoCrops

SECOND_CROP = 1_000_003
"""Between the seed of a run's images and that of its second crops."""


@dataclass
class Learners:
    """What updates student, policy and teacher.

    Attributes:
        student: its update.
        search: the policy's; None where there is no teacher.
        teacher: the teacher's; None where it came with weights, or has learned already.
    """

    student: ModelUpdate
    search: PolicySearch | None = None
    teacher: ModelUpdate | None = None

    def of(self, stage: Stage) -> ModelUpdate | PolicySearch:
        """The one that a stage trains."""
        learner = self._by_stage()[stage]
        assert learner is not None  # a stage is only planned where there is something to train
        return learner

    def require_search(self) -> PolicySearch:
        """The policy's, where there must be one: in a run with a teacher."""
        assert self.search is not None
        return self.search

    def state_dict(self) -> dict[Stage, dict[str, Any]]:
        """Of each that there is."""
        return {stage: learner.state_dict() for stage, learner in self._by_stage().items() if learner is not None}

    def load_state_dict(self, state: dict[Stage, dict[str, Any]]) -> None:
        """Continue from a `state_dict`."""
        for stage, values in state.items():
            self.of(stage).load_state_dict(values)

    def _by_stage(self) -> dict[Stage, ModelUpdate | PolicySearch | None]:
        return {"student": self.student, "search": self.search, "teacher": self.teacher}


class Session:
    """What a run works with; opened once, closed once.

    Each network has its own seed, so that arms of a comparison start alike.

    Args:
        config: of the run.
        accelerator: processes, devices and precision.
        dry: take two steps of everything, and keep nothing.
        quiet: show no progress.

    Attributes:
        task: recognition, detection or segmentation.
        splits: the images; `training_loader` and `test_loader` load them.
        passes: of the run, in order.
        augmenter: holds the policy.
        fits: how well each encoder of a neural prior follows its operation.
        student: unwrapped, on the device.
        teacher: the same; None if there is none.
        mixing: what happens to a batch first, in each stage.
        learners: what updates each.

    Raises:
        UserError, tst_pipelines.DataError: something of the configuration or the data cannot work.
    """

    def __init__(self, config: Config, accelerator: Accelerator, dry: bool = False, quiet: bool = True) -> None:
        self.config, self.accelerator, self.dry = config, accelerator, dry
        self.task = make_task(config, accelerator)
        with accelerator.local_main_process_first():  # what is downloaded or written is so once
            self.splits = self.task.splits()
        self.training_loader = self.task.training_loader(self.splits.train, config.seed)
        self.test_loader = self.task.evaluation_loader(self.splits.test)
        self.student_loader = self._open_student_loader()
        self.passes: list[Pass] = []
        self.plan_passes()
        self.augmenter, self.fits = self._make_augmenter(quiet)
        self.student = self._make_network("student")
        self.teacher = self._make_network("teacher") if config.distillation.teacher else None
        self.mixing = self._make_mixing()
        self.learners = self._make_learners()

    @property
    def policy(self) -> Policy:
        """The augmenter's."""
        return self.augmenter.policy

    @property
    def teaches_first(self) -> bool:
        """Whether the run begins with training the teacher."""
        return bool(self.passes) and self.passes[0].stage == "teacher"

    def require_teacher(self) -> nn.Module:
        """The teacher, where there must be one: in whatever learns from it or is compared with it."""
        assert self.teacher is not None
        return self.teacher

    def plan_passes(self, found: Sequence[int] = ()) -> None:
        """Make `passes`; `found` as in `plan`."""
        steps = self.training_loader.steps_per_epoch
        self.passes = rehearsal(plan(self.config, steps, [0])) if self.dry else plan(self.config, steps, found)

    def loader_of(self, stage: Stage) -> Loader:
        """What gives the batches of a stage."""
        return self.student_loader if stage == "student" else self.training_loader

    def settle_teacher(self) -> None:
        """Freeze a teacher that has been trained; on a CPU its batch norms are folded into its convolutions."""
        if self.teacher is None:
            return
        if self.learners.teacher is not None:
            self.learners.teacher.optimizer.state.clear()  # Accelerate keeps the optimizer itself
        self.learners.teacher = None
        learned = any(parameter.requires_grad for parameter in self.teacher.parameters())  # until now: not each epoch
        self.teacher.eval().requires_grad_(False)
        if learned and self.accelerator.device.type == "cpu" and not self.config.loss.features:
            fold_batch_norms(self.teacher, self.task.image_size)  # a GPU passes over the outputs in either case

    def close(self) -> None:
        """Release loaders and networks. Closing twice is allowed."""
        self.student_loader.close()
        self.training_loader.close()
        self.test_loader.close()
        self.accelerator.free_memory()

    def _open_student_loader(self) -> Loader:
        """The training loader; with a second crop, of twice as many images a step."""
        if not self.config.distillation.second_crop:
            return self.training_loader
        seed = self.config.seed + SECOND_CROP
        return TwoCrops(self.training_loader, self.task.training_loader(self.splits.train, seed))

    def _make_network(self, role: Role) -> nn.Module:
        network = make_network(self.config, role, self.task, self.splits.train, self.accelerator.device)
        if role == "student" or self.teaches_first:
            check_training_output(network, role, self.config, self.task.image_size)
        return network

    def _make_augmenter(self, quiet: bool) -> tuple[Augmenter, dict[str, Fit]]:
        """The policy and what applies it; the encoders' fits, if it has any."""
        config, chosen, train = self.config, self.config.policy, self.splits.train
        drawn = chosen.operations_per_image, chosen.shared_draw, chosen.temperature, chosen.sign
        policy = Policy(chosen.operations, *drawn)
        if str(chosen.init) == "random":
            policy.randomise(torch.Generator().manual_seed(config.seed))
        elif chosen.init:
            policy.load(policy_file(Path(chosen.init), "--policy.init"))
        encoders, fits = None, {}
        if chosen.prior == "encoder" and config.distillation.has_policy:
            encoders, fits = aligned_encoders(
                config, train, lambda: self.task.training_loader(train, config.seed), self.accelerator, quiet
            )
        policy = policy.to(self.accelerator.device)
        return Augmenter(policy, chosen, config.data, encoders, self.task.composes_warps), fits

    def _make_mixing(self) -> dict[Stage, Callable[[Batch], Batch]]:
        mixing = self.task.mixing(self.config.student_training, self.splits.train)
        stages: dict[Stage, Callable[[Batch], Batch]] = {"student": mixing, "search": mixing}
        if self.teaches_first:
            stages["teacher"] = self.task.mixing(self.config.teacher_training, self.splits.train)
        return stages

    def _make_learners(self) -> Learners:
        config, accelerator = self.config, self.accelerator
        steps, from_labels = self.training_loader.steps_per_epoch, FromLabels(self.task, config.data)
        teacher = search = None
        if self.teaches_first:
            teacher = ModelUpdate(self.require_teacher(), config.teacher_training, from_labels, steps, accelerator)
        if self.teacher is not None:
            listed = search_of(config) == "listed"
            window = search_steps(config, steps) if listed else config.policy.search_window
            search = PolicySearch(self.task, self.augmenter, accelerator, self.teacher, self.student, window)
        learner, loss = (self.student, from_labels) if self.teacher is None else self._taught()
        kept = self.task.kept(self.student)
        student = ModelUpdate(learner, config.student_training, loss, steps, accelerator, kept=kept)
        return Learners(student, search, teacher)

    def _taught(self) -> tuple[nn.Module, Loss]:
        """The student as it is trained, and its loss."""
        config, learner, guide = self.config, self.student, self.require_teacher()
        self.task.check_pair(learner, guide, len(self.splits.train.classes))
        if (loss := config.loss).features:
            reseed(config.seed, Stream.CONNECTORS)
            learner, guide = pair_features(learner, guide, loss.features, loss.feature_loss, self.task.image_size)
        augmenter = self.augmenter if config.distillation.has_policy else None
        return learner, FromTeacher(self.task, config, self.accelerator, guide, augmenter)


def make_network(config: Config, role: Role, task: Task, dataset: Dataset, device: torch.device) -> nn.Module:
    """A network as `config` describes it, on the device; each role has a seed of its own.

    Raises:
        UserError: an unknown name, arguments that it does not take, or a checkpoint that does not fit.
    """
    chosen = getattr(config, role)
    reseed(config.seed, {"teacher": Stream.TEACHER, "student": Stream.STUDENT}[role])
    network = task.network(role, dataset)
    if chosen.checkpoint:
        load_weights(network, chosen.checkpoint, role, chosen.sha256)
        require_class_order(chosen.checkpoint, role, dataset.classes)
    if config.sync_batch_norm:
        network = _with_synchronised_norms(network, device)
    normalised(network, Normalisation(config.data.mean, config.data.std), own_normalisation(config, role))
    network = network.to(device)
    if config.channels_last and can_be_channels_last(network, device):
        network = network.to(memory_format=torch.channels_last)
    output = check_forward(network, role, config, task.image_size)
    task.check_output(output, role, len(dataset.classes))
    if config.compile_networks:
        network.compile()
    return network


def _with_synchronised_norms(network: nn.Module, device: torch.device) -> nn.Module:
    """Batch norm over all processes, where there are several."""
    if device.type == "cuda":
        from timm.layers.norm_act import convert_sync_batchnorm  # torch's loses the activations in timm's norms

        return convert_sync_batchnorm(network)
    if torch.distributed.is_initialized():
        raise UserError("--sync_batch_norm needs GPUs: give --sync_batch_norm false for several processes on CPUs")
    return network


def with_weights(config: Config, role: Role, file: Path) -> Config:
    """The configuration whose network in this role has these weights, and takes images as it did in their run."""
    mean, std, bgr = own_normalisation(config, role)
    changes = {
        "checkpoint": file,
        "sha256": None,
        "pretrained": False,
        "fine_tune": False,
        "mean": mean,
        "std": std,
        "bgr": bgr,
    }
    return replace(with_preparation(config), **{f"{role}__{name}": value for name, value in changes.items()})


def own_normalisation(config: Config, role: Role) -> Normalisation:
    """How a network's images were normalised when it was trained: as it is told, as its weights say, or as the data."""
    chosen, data = getattr(config, role), config.data
    published = published_normalisation(chosen.name) if chosen.pretrained else None
    mean, std, bgr = published or Normalisation(data.mean, data.std)
    return Normalisation(chosen.mean or mean, chosen.std or std, chosen.bgr or bgr)
