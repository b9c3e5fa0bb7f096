"""What a run is made of: networks, policy and what updates each, from its configuration."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from accelerate import Accelerator
from torch import nn

from tst_fast.config.schema import Config
from tst_fast.models import build_model, load_weights
from tst_fast.models.features import pair_features
from tst_fast.policy.alignment import Fit, aligned_encoders
from tst_fast.policy.augmenter import Augmenter
from tst_fast.policy.policy import Policy
from tst_fast.run.plan import Pass, Stage
from tst_fast.run.search import PolicySearch
from tst_fast.run.seeding import reseed
from tst_fast.run.student import FromLabels, FromTeacher
from tst_fast.run.update import Loss, ModelUpdate
from tst_fast.tasks import training_loader
from tst_fast.tasks.mixing import Mixing
from tst_pipelines import Loader


@dataclass
class Parts:
    """Everything that learns, and what it learns by.

    Attributes:
        augmenter: holds the policy.
        fits: how well each encoder of a neural prior follows its operation.
        student: unwrapped, on the device.
        teacher: the same; None if there is none.
        mixing: of each stage.
        updates: of each stage.
    """

    augmenter: Augmenter
    fits: dict[str, Fit]
    student: nn.Module
    teacher: nn.Module | None = None
    mixing: dict[Stage, Mixing] = field(default_factory=dict)
    updates: dict[Stage, ModelUpdate | PolicySearch] = field(default_factory=dict)


def build(config: Config, passes: list[Pass], loader: Loader, accelerator: Accelerator, quiet: bool) -> Parts:
    """Make all that the passes need. Each network has its own seed, so that arms of a comparison start alike.

    Args:
        config: of the run.
        passes: of the run.
        loader: of the training images.
        accelerator: devices and precision.
        quiet: show no progress.

    Raises:
        UserError: networks, checkpoints, features or a policy that cannot be what `config` says.
    """
    classes, steps = len(loader.dataset.classes), loader.steps_per_epoch
    images = config.data.batch_size // accelerator.num_processes
    augmenter, fits = _make_augmenter(config, loader, accelerator, quiet)
    parts = Parts(augmenter, fits, make_network(config, "student", classes, accelerator.device))
    mixing = Mixing(config.student_training, classes, images)  # the policy is searched on what the student learns
    parts.mixing = {"student": mixing, "search": mixing}
    learner, loss = parts.student, FromLabels(config.data)
    if config.distillation.teacher:
        parts.teacher = make_network(config, "teacher", classes, accelerator.device)
        if passes and passes[0].stage == "teacher":
            parts.mixing["teacher"] = Mixing(config.teacher_training, classes, images)
            parts.updates["teacher"] = ModelUpdate(
                parts.teacher, config.teacher_training, FromLabels(config.data), steps, accelerator
            )
        listed = next((one.steps for one in passes if one.stage == "search"), None)
        parts.updates["search"] = PolicySearch(
            augmenter, accelerator, parts.teacher, parts.student, window=listed or config.policy.search_window
        )
        learner, loss = _taught(config, parts, accelerator)
    parts.updates["student"] = ModelUpdate(
        learner, config.student_training, loss, steps, accelerator, kept=parts.student
    )
    return parts


def make_network(config: Config, role: Literal["teacher", "student"], classes: int, device: torch.device) -> nn.Module:
    """A network as `config` describes it, on the device; each role has a seed of its own.

    Raises:
        UserError: an unknown name, arguments that it does not take, or a checkpoint that does not fit.
    """
    chosen = getattr(config, role)
    reseed(config.seed, {"teacher": 1, "student": 2}[role])
    network = build_model(chosen.name, classes, chosen.arguments, chosen.pretrained)
    if chosen.checkpoint:
        load_weights(network, chosen.checkpoint, role, chosen.sha256)
    network = network.to(device, memory_format=torch.channels_last if config.channels_last else torch.preserve_format)
    if config.compile_networks:
        network.compile()
    return network


def _make_augmenter(
    config: Config, loader: Loader, accelerator: Accelerator, quiet: bool
) -> tuple[Augmenter, dict[str, Fit]]:
    """The policy and what applies it; the encoders' fits, if it has any."""
    chosen = config.policy
    drawn = chosen.operations_per_image, chosen.shared_draw, chosen.temperature, chosen.sign
    policy = Policy(chosen.operations, *drawn)
    if chosen.init:
        policy.load(chosen.init)
    encoders, fits = None, {}
    if chosen.prior == "encoder" and config.distillation.augment and config.distillation.teacher:
        images = loader.dataset
        open_loader = partial(training_loader, config.data, images, accelerator, config.seed)
        encoders, fits = aligned_encoders(config, images, open_loader, accelerator, quiet)
    return Augmenter(policy.to(accelerator.device), chosen, config.data, encoders), fits


def _taught(config: Config, parts: Parts, accelerator: Accelerator) -> tuple[nn.Module, Loss]:
    """The student as it is trained, and what it learns from the teacher."""
    learner, guide = parts.student, parts.teacher
    if config.loss.features:
        reseed(config.seed, 4)
        learner, guide = pair_features(learner, guide, config.loss.features, config.data.image_size)
    augmenter = parts.augmenter if config.distillation.augment else None
    return learner, FromTeacher(config.data, config.loss, accelerator, guide, augmenter)
