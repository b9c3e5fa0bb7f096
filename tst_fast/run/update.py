"""The update of a network's weights: optimizer, rate, accumulation, clipping and the moving average."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from tst_fast.config.schema import OptimizerConfig, TrainingConfig
from tst_fast.errors import UserError
from tst_pipelines import Batch

INSTALL_APEX = "APEX_CPP_EXT=1 APEX_CUDA_EXT=1 pip install --no-build-isolation git+https://github.com/NVIDIA/apex"
Report = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], tuple[Tensor, Report]]


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
    # torch's CosineAnnealingLR (Loshchilov and Hutter, 2017) over what warm-up leaves.
    share = (step - warmup) / (total_steps - warmup)
    final = config.final_learning_rate
    return final + (highest - final) * (1 + math.cos(math.pi * share)) / 2


def _one_cycle(step: int, total_steps: int) -> float:
    """The factor of torch.optim.lr_scheduler.OneCycleLR with pct_start 0.25 (Smith and Topin, 2017)."""
    peak = max(0.25 * total_steps - 1, 0)
    start, end = 1 / 25, 1.0
    share = step / peak if peak else 1.0
    if step > peak:
        start, end, share = 1.0, 1 / 250_000, (step - peak) / max(total_steps - 1 - peak, 1)
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer that `config` names.

    Raises:
        UserError: it is NVIDIA apex's, and apex is not installed.
    """
    parameters = list(model.parameters())
    on_gpu = parameters[0].is_cuda
    if not config.decay_norm_and_bias:
        from timm.optim import param_groups_weight_decay  # timm takes a second to import, so only where it is asked for

        named = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()  # timm's models know more of them
        parameters = param_groups_weight_decay(model, config.weight_decay, no_weight_decay_list=named)
    common = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.name == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return torch.optim.SGD(parameters, momentum=config.momentum, nesterov=nesterov, fused=on_gpu, **common)
    if config.epsilon is not None:
        common["eps"] = config.epsilon
    if config.name == "rmsprop":
        from timm.optim import RMSpropTF

        return RMSpropTF(parameters, momentum=config.momentum, **common)
    if config.name == "adamw":
        return torch.optim.AdamW(parameters, betas=config.betas, fused=on_gpu, **common)
    try:
        from apex.optimizers import FusedLAMB
    except ImportError:  # not installed, or the other project that PyPI calls apex
        raise UserError(f"--optimizer.name lamb needs NVIDIA apex, built from its source: {INSTALL_APEX}") from None
    return FusedLAMB(parameters, betas=config.betas, **common)


def mean_report(reports: Sequence[Report], shares: Sequence[float]) -> Report:
    """The mean of the parts' reports, each weighted by its share of the batch."""
    return {name: sum(r[name] * share for r, share in zip(reports, shares, strict=True)) for name in reports[0]}


def _moving_average(model: nn.Module, decay: float) -> nn.Module:
    from timm.utils import ModelEmaV3

    return ModelEmaV3(model, decay)


class ModelUpdate:
    """Trains one network, a batch at a time.

    A batch may be taken in parts, whose gradients add up to the whole batch's: less memory, and the same steps and
    rates. Only batch norm sees the difference.

    Args:
        model: unwrapped; Accelerate wraps it here.
        config: epochs, optimizer, parts, clipping and moving average.
        loss: what the network learns from.
        steps_per_epoch: batches in an epoch, the same on each rank.
        accelerator: places, wraps and steps the network.
        kept: the part of `model` that is averaged, judged and kept; None: all of it.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainingConfig,
        loss: Loss,
        steps_per_epoch: int,
        accelerator: Accelerator,
        kept: nn.Module | None = None,
    ) -> None:
        self.config, self.loss, self.accelerator = config, loss, accelerator
        self.total_steps = config.epochs * steps_per_epoch
        self.step_count = 0
        self.kept = model if kept is None else kept
        self.average = None if config.ema_decay is None else _moving_average(self.kept, config.ema_decay)
        self.model, self.optimizer = accelerator.prepare(model, make_optimizer(model, config.optimizer))

    @property
    def outcome(self) -> nn.Module:
        """What is judged and saved: the moving average if there is one, else the network itself, unwrapped."""
        return self.kept if self.average is None else self.average.module

    def step(self, batch: Batch) -> Report:
        """One update; what to report, as scalars on the device."""
        rate = learning_rate(self.config.optimizer, self.step_count, self.total_steps, self.config.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        parts = batch.split(self.config.accumulate)
        shares, reports = [len(part) / len(batch) for part in parts], []
        for number, (part, share) in enumerate(zip(parts, shares, strict=True), start=1):
            # Ranks exchange gradients once, after the last part.
            with nullcontext() if number == len(parts) else self.accelerator.no_sync(self.model):
                loss, report = self.loss(self.model, part)
                self.accelerator.backward(loss * share)
            reports.append({"loss": loss.detach(), **report})
        if self.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step_count += 1
        if self.average is not None:
            self.average.update(self.kept, step=self.step_count)
        return mean_report(reports, shares)

    def state_dict(self) -> dict:
        """Weights, their moving average, optimizer and step count."""
        return {
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "average": None if self.average is None else self.average.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step_count": self.step_count,
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from a `state_dict`."""
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
        if self.average is not None:
            self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step_count = state["step_count"]
