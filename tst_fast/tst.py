"""The method for your own training loop: no configuration, no Accelerator, no loaders."""

import reprlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from tst_fast.config.checks import check
from tst_fast.config.kinds import describe, fits
from tst_fast.config.operations import PAPER_OPERATIONS
from tst_fast.config.ranges import settings_with_kinds
from tst_fast.config.schema import Config, DistillationConfig, ModelConfig, replace
from tst_fast.errors import UserError
from tst_fast.models.frozen import frozen
from tst_fast.policy.augmenter import Augmenter
from tst_fast.policy.file import PolicyFile
from tst_fast.policy.policy import Policy
from tst_fast.run.search import PolicySearch
from tst_fast.run.student import FromTeacher
from tst_fast.tasks.classification import Classification
from tst_fast.tasks.own_code import require_logits
from tst_kernels import normalise
from tst_pipelines import Batch, Targets


class TST:
    """A policy between a teacher and a student, for recognition.

    Call `search` for some steps, now and then; and in each step of the student, minimise `loss` in place of the
    cross-entropy. Networks, their optimizers, precision (`torch.autocast` around the calls) and DDP stay the caller's;
    the policy and its optimizer are here. With `torch.distributed`, the policy's gradients are averaged over ranks, so
    that it stays the same on each; ranks with different random seeds draw different augmentations.

    Images are uint8 [B, H, W, 3], RGB, or floating [B, 3, H, W] in 0..1, on the networks' device; whatever is done with
    them, floating ones are rounded to 8 bits first. Labels are int64 [B], or floating [B, C], the probability of each
    class. On a GPU, values are looked at in the first batch alone: to look is to wait for it. Tasks with label maps and
    boxes need a `tasks.Task`: see `run.search.PolicySearch` and `run.student.FromTeacher`, which this class holds.
    `copy.deepcopy` and `pickle` take all of it, networks included, where they take the networks.

    Args:
        teacher: images [B, 3, H, W], normalised, to logits [B, C]; trained. It is put in eval mode and left so.
        student: likewise; unwrapped, whatever `loss` is called with.
        mean: of each channel, 0..1, as both networks were normalised.
        std: of each channel.
        operations: names, see `tst_kernels.OPERATIONS`.
        operations_per_image: how many of them are drawn for an image.
        learning_rate: of the policy's SGD.
        momentum: of the policy's SGD.
        student_weight: of the student's term in the search.
        budget: at how many times its loss under an untrained policy the search holds the teacher's; None: free.
        loss: of the student, besides cross-entropy: kd, dkd or dist.
        alpha: weight of that loss.
        tau: its temperature.

    Attributes:
        policy: `policy.learned()` lists the current probability and magnitude of each operation.

    Raises:
        UserError: a value that cannot work, which the message names as the command line does; a network without
            weights, or on another device than the other.
    """

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        *,
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
        operations: Sequence[str] = PAPER_OPERATIONS,
        operations_per_image: int = 4,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        student_weight: float = 1.0,
        budget: float | None = None,
        loss: Literal["kd", "dkd", "dist"] = "kd",
        alpha: float = 1.0,
        tau: float = 4.0,
    ) -> None:
        device = _one_device(teacher, student)
        config = replace(
            Config(name="loop", teacher=ModelConfig(checkpoint=Path("given")), distillation=DistillationConfig()),
            data__name="digits",
            data__mean=_floats(mean),
            data__std=_floats(std),
            policy__operations=list(operations),
            policy__operations_per_image=operations_per_image,
            policy__learning_rate=learning_rate,
            policy__momentum=momentum,
            policy__student_weight=student_weight,
            policy__budget=budget,
            loss__name=loss,
            loss__alpha=alpha,
            loss__tau=tau,
        )
        for name, value, kind in settings_with_kinds(config):
            if not fits(value, kind):
                raise UserError(f"--{name} is {reprlib.repr(value)}: it must be {describe(kind)}")
        check(config)
        self._looked: set[str] = set()
        self._classes: int | None = None
        self._loop = _Loop(device)
        self.teacher, self.student, self.config = teacher.eval(), student, config
        chosen = config.policy
        drawn = chosen.operations_per_image, chosen.shared_draw, chosen.temperature, chosen.sign
        self.policy = Policy(chosen.operations, *drawn).to(self._loop.device)
        self._augmenter = Augmenter(self.policy, chosen, config.data)
        task: Any = Classification(config, self._loop)  # pyright: ignore[reportArgumentType]: no loaders are made
        self._search = PolicySearch(task, self._augmenter, self._loop, teacher, student, chosen.search_window)
        self._from_teacher = FromTeacher(task, config, self._loop, teacher, self._augmenter)

    def search(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One step of the policy: towards images that the teacher is sure of and the student is not.

        Args:
            images: see the class.
            labels: see the class.

        Returns:
            On the device: loss, and teacher_confidence and student_confidence, the mean probability of the true class.

        Raises:
            UserError: it is called where gradients are off, or images, labels or what the networks put out are not as
                the class says.
        """
        if not torch.is_grad_enabled():
            raise UserError("search learns by gradients: call it outside torch.no_grad() and torch.inference_mode()")
        return self._search.step(self._batch(images, labels))

    def begin_search(self) -> None:
        """Make the policy's optimizer anew, as the paper does before each search."""
        self._search.begin()

    def augment(self, images: Tensor) -> Tensor:
        """Images as the policy makes them now, by a new draw, normalised: floating [B, 3, H, W], without a gradient."""
        with torch.no_grad():
            return self._augmenter(self._pixels(images)).images

    def loss(self, images: Tensor, labels: Tensor, model: nn.Module | None = None) -> Tensor:
        """What the student minimises: half on augmented images, half on plain ones, in one forward pass of both.

        Args:
            images: see the class.
            labels: see the class.
            model: what is called for the student's answers, such as DDP around it; None: the student.

        Raises:
            UserError: images, labels or what the networks put out are not as the class says.
        """
        asked = self.student if model is None else model
        batch = self._batch(images, labels)
        self.teacher.eval()  # as a part of a larger module, it may have been put in train mode with that
        return self._from_teacher(lambda inputs: _logits(asked(inputs), "student", len(inputs)), batch)[0]

    def normalise(self, images: Tensor) -> Tensor:
        """Plain images as the networks take them, for an evaluation: floating [B, 3, H, W]."""
        return normalise(self._pixels(images), self.config.data.mean, self.config.data.std)

    def state_dict(self) -> dict[str, Any]:
        """Of the policy, with what its values are of, and its optimizer; the networks' are the caller's."""
        return {**self._search.state_dict(), "operations": self.config.policy.operations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`.

        Raises:
            UserError: it is not of a `TST`, or of other operations, or of the same in another order.
        """
        if missing := [name for name in self.state_dict() if name not in state]:
            raise UserError(f"the state has no {', '.join(missing)}: give what `state_dict` of a `TST` returned")
        if state["operations"] != self.config.policy.operations:
            raise UserError(
                f"the state is of the operations {', '.join(state['operations'])}, in this order: give `operations` so"
            )
        self._search.load_state_dict(state)

    def write_policy(self, file: str | Path) -> None:
        """Write a policy.json, which `tst-fast export` turns into a transform, and `--policy.init` starts from."""
        networks = {"teacher": self.teacher, "student": self.student}
        provenance = {role: {"name": type(network).__name__} for role, network in networks.items()}
        config, mean = self.config.policy, self.config.data.mean
        learned = PolicyFile.of(config, mean, [self.policy.learned()], composes_warps=False, provenance=provenance)
        learned.write(Path(file))

    def _batch(self, images: Tensor, labels: Tensor) -> Batch:
        if len(images) != len(labels):
            raise UserError(f"there are {len(images)} images and {len(labels)} labels")
        pixels = self._pixels(images)
        if self._classes is None:
            self._classes = self._count_classes(pixels[:2])
        self._require_labels(labels, self._classes)
        return Batch.of(pixels, Targets(labels), np.arange(len(images)))

    def _count_classes(self, pixels: Tensor) -> int:
        """Classes that both networks know, by what they put out for an image or two.

        Raises:
            UserError: they put out something else than logits, or logits of other classes than each other, or of one
                class where the loss compares classes.
        """
        plain = self.normalise(pixels)
        with frozen(self.teacher, self.student), torch.no_grad():  # not by a call, which would compile a network anew
            teacher, student = (
                _logits(network.forward(plain), role, len(plain)).shape[1]
                for role, network in (("teacher", self.teacher), ("student", self.student))
            )
        if teacher != student:
            raise UserError(
                f"the teacher knows {teacher} classes and the student {student}: give networks of the same classes, in "
                "the same order"
            )
        self._from_teacher.task.check_pair(self.student, self.teacher, teacher)
        return teacher

    def _require_labels(self, labels: Tensor, classes: int) -> None:
        """Refuse what are no labels of so many classes."""
        soft = isinstance(labels, Tensor) and labels.is_floating_point()
        shape = [len(labels), classes] if soft else [len(labels)]
        if not isinstance(labels, Tensor) or list(labels.shape) != shape or not (soft or labels.dtype == torch.int64):
            raise UserError(
                f"labels are {_form(labels)}: give int64 [B], or floating [B, {classes}], the probability of each class"
            )
        if "labels" in self._looked and labels.is_cuda:
            return
        low, high = (value.item() for value in labels.aminmax())
        if not soft and not 0 <= low <= high < classes:
            raise UserError(f"labels are in {low}..{high}: the networks know the classes 0..{classes - 1}")
        if soft and not (low >= 0 and ((labels.float().sum(dim=1) - 1).abs() < 0.01).all()):
            raise UserError("floating labels are no probabilities: give none below 0, of each image with the sum 1")
        self._looked.add("labels")

    def _pixels(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3].

        Raises:
            UserError: images of another form, or floating ones beyond 0..1.
        """
        is_tensor = isinstance(images, Tensor) and images.dim() == 4
        if is_tensor and images.dtype == torch.uint8 and images.shape[3] == 3:
            return images
        if not (is_tensor and images.is_floating_point() and images.shape[1] == 3):
            raise UserError(
                f"images are {_form(images)}: give uint8 [B, H, W, 3], or floating [B, 3, H, W] in 0..1, before they "
                "are normalised"
            )
        if not ("images" in self._looked and images.is_cuda):
            low, high = (value.item() for value in images.aminmax())
            if not -0.1 <= low <= high <= 1.1:  # some ways of resizing overshoot; not so with NaN
                raise UserError(f"images are in {low:.3g}..{high:.3g}: give them in 0..1, before they are normalised")
            self._looked.add("images")
        return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous()


def _one_device(teacher: nn.Module, student: nn.Module) -> torch.device:
    """Where both networks are.

    Raises:
        UserError: one has no weights, or they are in two places.
    """
    devices = []
    for role, network in (("teacher", teacher), ("student", student)):
        parameter = next(network.parameters(), None)
        if parameter is None:
            raise UserError(f"the {role} has no parameters: give the network itself, with its weights")
        devices.append(parameter.device)
    if devices[0] != devices[1]:
        raise UserError(f"the teacher is on {devices[0]}, the student on {devices[1]}: move both to one device first")
    return devices[0]


def _logits(output: Any, role: str, count: int) -> Tensor:
    """What a network puts out for so many images; see `require_logits`."""
    require_logits(output, (count, None), f"the {role}")
    return output


def _form(value: Any) -> str:
    """Type and shape of a tensor, or what it is instead."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else f"of type {type(value).__name__}"


def _floats(values: Any) -> Any:
    """Whatever holds a number for each channel, as a tuple; anything else as it is."""
    return tuple(map(float, values)) if np.ndim(values) == 1 else values


class _Loop:
    """`Ranks` of a loop without Accelerate: its precision is the caller's autocast."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def autocast(self, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
        """Nothing of its own."""
        return nullcontext()

    def reduce(self, tensor: Tensor, reduction: str) -> Tensor:
        """Over the default process group, if there is one."""
        if not (dist.is_available() and dist.is_initialized()):
            return tensor
        dist.all_reduce(tensor := tensor.clone())
        return tensor / dist.get_world_size() if reduction == "mean" else tensor
