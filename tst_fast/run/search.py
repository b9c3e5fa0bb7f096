"""The update of the policy: find what the teacher is good at and the student is not (TST, section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tst_fast.losses.search import SEARCH_OBJECTIVES, confidence
from tst_fast.models.frozen import frozen
from tst_fast.policy.augmenter import Augmenter
from tst_fast.policy.budget import Budget
from tst_fast.policy.dither import dithered
from tst_fast.policy.policy import Policy
from tst_fast.ranks import Ranks, over_ranks
from tst_fast.run.gradient_noise import GradientSignal
from tst_fast.run.images import form_of, memory_format_of, size_of
from tst_fast.run.update import Scalars, gradient_norm, weighted_mean
from tst_fast.tasks.task import Decisions, Task
from tst_pipelines import Batch

PLATEAU = 0.02
PLATEAU_FACTOR = 0.9


class PolicySearch:
    """Trains the policy, a batch at a time, against a frozen teacher and a frozen student.

    Args:
        task: what is asked of the networks.
        augmenter: holds the policy, and the settings of its search. The policy's gradients are averaged over ranks
            here, since it is too small for DDP to pay off.
        accelerator: for autocast and reductions.
        teacher: unwrapped, on the device.
        student: unwrapped, on the device.
        window: steps over which the plateau rule averages the loss.
    """

    def __init__(
        self,
        task: Task,
        augmenter: Augmenter,
        accelerator: Ranks,
        teacher: nn.Module,
        student: nn.Module,
        window: int,
    ) -> None:
        self.task, self.augmenter, self.accelerator = task, augmenter, accelerator
        self.policy, self.config = augmenter.policy, augmenter.config
        self.memory_format = memory_format_of(student)
        self.teacher, self.student, self.window = teacher, student, window
        self.terms = SEARCH_OBJECTIVES[self.config.objective]
        self.budget = None if self.config.budget is None else Budget(self.policy, self.config.budget)
        self.begin()

    def begin(self) -> None:
        """Start a search: the optimizer is made anew, and signal and plateau rule have seen nothing.

        A budget goes on from where the last search left it.
        """
        rate, momentum = self.config.learning_rate, self.config.momentum
        self.optimizer = torch.optim.SGD(self.policy.parameters(), lr=rate, momentum=momentum)
        self.signal = GradientSignal(self.policy)
        self.last_loss: float | None = None
        self.window_loss, self.window_steps = torch.zeros((), device=self.accelerator.device), 0

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def step(self, batch: Batch) -> Scalars:
        """One update of the policy; on the device: the loss, both confidences on augmented images, the gradient."""
        parts = batch.split(self.config.accumulate)
        shares = [len(part) / len(batch) for part in parts]
        with frozen(self.teacher, self.student):
            scalars = [self.backward(part, share) for part, share in zip(parts, shares, strict=True)]
        for parameter in self.policy.parameters():
            assert parameter.grad is not None  # `backward` gives each one
            parameter.grad = over_ranks(self.accelerator, parameter.grad, "mean")
        self.signal.add()
        norm = gradient_norm(self.policy, self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        means = weighted_mean(scalars, shares)
        if self.budget is None:
            self._count(means["loss"])
        else:
            spent = torch.stack([means["teacher_loss"], means["untrained_teacher_loss"]])
            self.budget.spend(*over_ranks(self.accelerator, spent, "mean"))
        return {**means, "gradient_norm": norm}

    def backward(self, part: Batch, share: float) -> Scalars:
        """Add the gradients of a part of a batch, times its share of it, to the policy's; networks must be frozen."""
        asked, (teacher, student) = self._answers(part, self.policy, (self.teacher, self.student))
        of_teacher, of_student = self.terms(teacher, student, asked.labels, asked.weights)
        scalars = {
            "teacher_confidence": confidence(teacher.detach(), asked.labels, asked.weights),
            "student_confidence": confidence(student.detach(), asked.labels, asked.weights),
        }
        weight = 1.0
        if self.budget is not None:
            weight = self.budget.weight
            scalars |= {"teacher_loss": of_teacher.detach(), "untrained_teacher_loss": self._untrained_loss(part)}
            scalars["teacher_weight"] = weight
        loss = weight * of_teacher + self.config.student_weight * of_student
        (loss * share).backward()
        return {"loss": loss.detach(), **scalars}

    def _answers(self, part: Batch, policy: Policy, networks: Sequence[nn.Module]) -> tuple[Decisions, list[Tensor]]:
        """What is asked of images as a new draw of a policy augments them, and each network's answers."""
        draw = policy.draw(len(part), straight_through=self.config.gates == "straight_through")
        draw = dithered(draw, *size_of(part.images), part.sizes)
        form = form_of(part.images, self.accelerator, self.memory_format, keep_precision=self.task.composes_warps)
        augmented, geometry = self.augmenter.apply(part.images, draw, part.sizes, **form)
        asked = self.task.decisions(part.targets, geometry)
        with self.accelerator.autocast():
            outputs = [network(augmented) for network in networks]
        return asked, [self.task.answers(output, asked) for output in outputs]

    @torch.no_grad()
    def _untrained_loss(self, part: Batch) -> Tensor:
        """The teacher's on the same images, as a policy that has learned nothing augments them."""
        assert self.budget is not None
        asked, (teacher,) = self._answers(part, self.budget.untrained, (self.teacher,))
        return self.terms(teacher, teacher, asked.labels, asked.weights)[0]

    def _count(self, loss: Tensor) -> None:
        """At the end of a window, tell the plateau rule its mean loss over all ranks."""
        self.window_loss, self.window_steps = self.window_loss + loss, self.window_steps + 1
        if self.window_steps >= self.window:  # above, where a run goes on with a shorter one
            self.end_window(over_ranks(self.accelerator, self.window_loss / self.window_steps, "mean").item())
            self.window_loss, self.window_steps = torch.zeros_like(self.window_loss), 0

    def end_window(self, loss: float) -> None:
        """Plateau rule: after a fall of the loss by under 0.02, absolutely and relatively, the rate is times 0.9.

        Args:
            loss: mean loss of the window, over all ranks.
        """
        if self.last_loss is not None:
            fall = self.last_loss - loss
            if fall < PLATEAU and fall < PLATEAU * abs(self.last_loss):
                for group in self.optimizer.param_groups:
                    group["lr"] *= PLATEAU_FACTOR
        self.last_loss = loss

    def state_dict(self) -> dict:
        """Logits, optimizer and what the plateau rule remembers."""
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "first_learning_rate": self.config.learning_rate,
            "signal": self.signal.state_dict(),
            "last_loss": self.last_loss,
            "window_loss": self.window_loss,
            "window_steps": self.window_steps,
            "budget": None if self.budget is None else self.budget.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from a `state_dict`."""
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:  # the configuration may have changed on purpose
            group["momentum"] = self.config.momentum
            if self.config.learning_rate != state["first_learning_rate"]:
                group["lr"] *= self.config.learning_rate / state["first_learning_rate"]
        self.signal.load_state_dict(state["signal"])
        self.last_loss = state["last_loss"]
        self.window_loss = state["window_loss"].to(self.accelerator.device)
        self.window_steps = state["window_steps"]
        if self.budget is not None and state["budget"] is not None:  # one that there was not before begins here
            self.budget.load_state_dict(state["budget"])
