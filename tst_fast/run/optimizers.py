"""Optimizers and learning-rate schedules."""

import math
from typing import TypedDict

import torch
from torch import nn

from tst_fast.config.schema import OptimizerConfig
from tst_fast.errors import UserError

INSTALL_APEX = "APEX_CPP_EXT=1 APEX_CUDA_EXT=1 pip install --no-build-isolation git+https://github.com/NVIDIA/apex"


def learning_rate(config: OptimizerConfig, step: int, total_steps: int, epochs: int) -> float:
    """The rate of a step: a function of its number alone, so that resuming needs nothing but the number.

    Args:
        config: the schedule and its highest rate.
        step: from 0.
        total_steps: of the whole training.
        epochs: of the whole training, for warm-up and milestones.
    """
    highest = config.learning_rate
    if config.schedule == "one_cycle":
        return highest * _one_cycle(step, total_steps)
    warmup = config.warmup_epochs * total_steps // epochs
    if step < warmup:  # torch's LinearLR
        return config.warmup_learning_rate + (highest - config.warmup_learning_rate) * step / warmup
    if config.schedule == "multi_step":  # torch's MultiStepLR
        epoch = step * epochs // total_steps
        return highest * config.decay_factor ** sum(epoch >= milestone for milestone in config.milestones)
    share, final = (step - warmup) / (total_steps - warmup), config.final_learning_rate
    if config.schedule == "poly":  # torch's PolynomialLR, down to `final`, over what warm-up leaves
        return final + (highest - final) * (1 - share) ** config.power
    # torch's CosineAnnealingLR (Loshchilov and Hutter, 2017), likewise.
    return final + (highest - final) * (1 + math.cos(math.pi * share)) / 2


def _one_cycle(step: int, total_steps: int) -> float:
    """The factor of torch.optim.lr_scheduler.OneCycleLR with pct_start 0.25 (Smith and Topin, 2017)."""
    peak = max(0.25 * total_steps - 1, 0)
    start, end = 1 / 25, 1.0
    share = step / peak if peak else 1.0
    if step > peak:
        start, end, share = 1.0, 1 / 250_000, (step - peak) / max(total_steps - 1 - peak, 1)
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


class _Common(TypedDict, total=False):
    """Arguments that optimizers share."""

    lr: float
    weight_decay: float
    eps: float


def _not_decayed(model: nn.Module) -> set[str]:
    """Weights that timm's networks say are not to decay, also of one that is a part of another."""
    return {
        f"{path}.{name}".removeprefix(".")
        for path, module in model.named_modules()
        for name in getattr(module, "no_weight_decay", tuple)()
    }


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer that `config` names.

    Raises:
        UserError: it is NVIDIA apex's, and apex is not installed.
    """
    parameters = list(model.parameters())
    on_gpu = parameters[0].is_cuda
    if not config.decay_norm_and_bias:
        # timm takes a second to import, so only where it is asked for; its public names do not look so to pyright.
        from timm.optim import param_groups_weight_decay  # pyright: ignore[reportPrivateImportUsage]

        parameters = param_groups_weight_decay(model, config.weight_decay, no_weight_decay_list=_not_decayed(model))
    if config.name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            nesterov=config.nesterov and config.momentum > 0,
            fused=on_gpu,
        )
    common: _Common = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.epsilon is not None:
        common["eps"] = config.epsilon
    if config.name == "rmsprop":
        from timm.optim.rmsprop_tf import RMSpropTF

        return RMSpropTF(parameters, momentum=config.momentum, **common)
    if config.name == "adamw":
        return torch.optim.AdamW(parameters, betas=config.betas, fused=on_gpu, **common)
    try:
        from apex.optimizers import FusedLAMB  # pyright: ignore[reportMissingImports] (an option, from its source)
    except ImportError:  # not installed, or the other project that PyPI calls apex
        raise UserError(
            "lamb (--student_training.optimizer.name or --teacher_training.optimizer.name) needs NVIDIA apex, built "
            f"from its source: {INSTALL_APEX}"
        ) from None
    return FusedLAMB(parameters, betas=config.betas, **common)
