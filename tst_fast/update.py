"""The update of a network's weights: optimizer, rate and step."""

import math
from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pipelines import Batch
from tst_fast.config import OptimizerConfig, TrainingConfig
from tst_fast.errors import UserError

INSTALL_APEX = "APEX_CPP_EXT=1 APEX_CUDA_EXT=1 pip install --no-build-isolation git+https://github.com/NVIDIA/apex"
Loss = Callable[[nn.Module, Batch], tuple[Tensor, dict[str, Tensor]]]


def learning_rate(config: OptimizerConfig, step: int, total_steps: int, epochs: int) -> float:
    """The rate of a step: a function of its number alone, so that resuming needs nothing but the number.

    Args:
        config: the schedule and its highest rate.
        step: from 0.
        total_steps: of the whole training.
        epochs: of the whole training, for milestones.
    """
    if config.schedule == "multi_step":
        epoch = step * epochs // total_steps
        return config.learning_rate * 0.1 ** sum(epoch >= milestone for milestone in config.milestones)
    # torch.optim.lr_scheduler.OneCycleLR with pct_start 0.25 (Smith and Topin, 2017).
    peak = max(0.25 * total_steps - 1, 0)
    start, end = 1 / 25, 1.0
    share = step / peak if peak else 1.0
    if step > peak:
        start, end, share = 1.0, 1 / 250_000, (step - peak) / max(total_steps - 1 - peak, 1)
    return config.learning_rate * (end + (start - end) * (1 + math.cos(math.pi * share)) / 2)


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer that `config` names.

    Raises:
        UserError: it is NVIDIA apex's, and apex is not installed.
    """
    common = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.name == "lamb":
        try:
            from apex.optimizers import FusedLAMB
        except ImportError:  # not installed, or the other project that PyPI calls apex
            raise UserError(f"--optimizer.name lamb needs NVIDIA apex, built from its source: {INSTALL_APEX}") from None
        return FusedLAMB(model.parameters(), **common)
    parameters = list(model.parameters())
    nesterov, on_gpu = config.nesterov and config.momentum > 0, parameters[0].is_cuda
    return torch.optim.SGD(parameters, momentum=config.momentum, nesterov=nesterov, fused=on_gpu, **common)


class ModelUpdate:
    """Trains one network, a batch at a time.

    Args:
        model: unwrapped; Accelerate wraps it here.
        config: epochs and optimizer.
        loss: what the network learns from.
        steps_per_epoch: batches in an epoch, the same on each rank.
        accelerator: places, wraps and steps the network.
    """

    def __init__(
        self, model: nn.Module, config: TrainingConfig, loss: Loss, steps_per_epoch: int, accelerator: Accelerator
    ) -> None:
        self.config, self.loss, self.accelerator = config, loss, accelerator
        self.total_steps = config.epochs * steps_per_epoch
        self.step_count = 0
        self.model, self.optimizer = accelerator.prepare(model, make_optimizer(model, config.optimizer))

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One update; what to report, as scalars on the device."""
        rate = learning_rate(self.config.optimizer, self.step_count, self.total_steps, self.config.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        loss, report = self.loss(self.model, batch)
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step_count += 1
        return {"loss": loss.detach(), **report}

    def state_dict(self) -> dict:
        """Weights, optimizer and step count."""
        return {
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step_count": self.step_count,
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from a `state_dict`."""
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step_count = state["step_count"]
