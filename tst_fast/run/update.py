"""Training steps of a network: gradient accumulation, clipping and the moving average of its weights."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from accelerate import Accelerator
from torch import Tensor, nn

from tst_fast.config.schema import TrainingConfig
from tst_fast.run.optimizers import learning_rate, make_optimizer
from tst_pipelines import Batch

if TYPE_CHECKING:
    from timm.utils.model_ema import ModelEmaV3

Scalars = dict[str, Tensor]
"""Values to report, on the device, by name."""
Loss = Callable[[nn.Module, Batch], tuple[Tensor, Scalars]]


def weighted_mean(scalars: Sequence[Scalars], shares: Sequence[float]) -> Scalars:
    """The mean of the parts' values, each weighted by its share of the batch."""
    shared = [{name: s[name] * share for name in s} for s, share in zip(scalars, shares, strict=True)]
    return {name: sum((s[name] for s in shared[1:]), shared[0][name]) for name in shared[0]}


def gradient_norm(model: nn.Module, limit: float | None) -> Tensor:
    """The norm of all gradients together, which are then cut to `limit`, if there is one; on the device."""
    if limit is not None:
        return nn.utils.clip_grad_norm_(model.parameters(), limit)
    return nn.utils.get_total_norm([value.grad for value in model.parameters() if value.grad is not None])


def _moving_average(model: nn.Module, decay: float) -> "ModelEmaV3":
    from timm.utils.model_ema import ModelEmaV3

    return ModelEmaV3(model, decay)


class ModelUpdate:
    """Trains one network, a batch at a time.

    A batch may be taken in parts, whose gradients add up to the whole batch's: less memory, and the same steps and
    rates. What looks at several images together sees the difference: batch norm, the number of objects by which
    torchvision's and our losses of detectors are divided, and the correlations of DIST and PKD. So it is with ranks.

    Args:
        model: unwrapped; Accelerate wraps it here.
        config: epochs, optimizer, parts, clipping and moving average.
        loss: what the network learns from.
        steps_per_epoch: batches in an epoch, the same on each rank.
        accelerator: places, wraps and steps the network.
        kept: the part of `model` that is averaged, evaluated and saved; None: all of it.
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
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and saved: the moving average if there is one, else the network, unwrapped."""
        return self.kept if self.average is None else self.average.module

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return learning_rate(self.config.optimizer, self.step_count, self.total_steps, self.config.epochs)

    def step(self, batch: Batch) -> Scalars:
        """One update; what to report: the loss, the norm of its gradient before it is cut, and what `loss` reports."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.model.train()
        parts = batch.split(self.config.accumulate)
        shares, scalars = [len(part) / len(batch) for part in parts], []
        for number, (part, share) in enumerate(zip(parts, shares, strict=True), start=1):
            # Ranks exchange gradients once, after the last part.
            with nullcontext() if number == len(parts) else self.accelerator.no_sync(self.model):
                loss, reported = self.loss(self.model, part)
                self.accelerator.backward(loss * share)
            scalars.append({"loss": loss.detach(), **reported})
        norm = gradient_norm(self.model, self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step_count += 1
        if self.average is not None:
            self.average.update(self.kept, step=self.step_count)
        return {**weighted_mean(scalars, shares), "gradient_norm": norm}

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
        if self.average is not None:  # one that there was not before begins here
            average = self.kept.state_dict() if state["average"] is None else state["average"]
            self.average.module.load_state_dict(average)
        kept = "params", "lr"
        own = [{key: value for key, value in group.items() if key not in kept} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, settings in zip(self.optimizer.param_groups, own, strict=True):
            group.update(settings)  # those of the configuration, which may have changed on purpose
        self.step_count = state["step_count"]
