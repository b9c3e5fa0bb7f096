"""Intermediate features of networks, by module path, and connectors that make them comparable."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tst_fast.config.schema import FeatureConfig
from tst_fast.errors import UserError, nearest
from tst_fast.models.frozen import frozen

if TYPE_CHECKING:
    from timm.models import FeatureInfo


class FeaturedOutput(NamedTuple):
    """What a network with features puts out.

    Attributes:
        output: the network's own.
        features: after each connector.
    """

    output: Any
    features: list[Tensor]


class WithFeatures(nn.Module):
    """A network that also returns what some of its modules put out.

    The network itself stays as it was: called alone, it keeps nothing. This module is what is trained, so that DDP
    sees the connectors; what is evaluated and saved is the network.

    Args:
        network: gives logits [B, num_classes] for images [B, 3, H, W].
        paths: of modules in it, as in `named_modules`, each with one tensor as output.
        connectors: one for each path, applied to what is seen there; by default it is returned as it is.
    """

    def __init__(self, network: nn.Module, paths: Sequence[str], connectors: Sequence[nn.Module] | None = None) -> None:
        super().__init__()
        self.network, self.paths = network, list(paths)
        self.connectors = nn.ModuleList(connectors or [nn.Identity() for _ in paths])
        self._watching = False
        self._seen: dict[str, Tensor] = {}
        for path in dict.fromkeys(paths):
            network.get_submodule(path).register_forward_hook(partial(self._see, path))

    def _see(self, path: str, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        if self._watching:
            self._seen[path] = output.clone()  # a later layer may write over it

    def forward(self, images: Tensor) -> FeaturedOutput:
        """The network's output, and for each path the feature after its connector."""
        self._watching = True
        output = self.network(images)
        self._watching = False
        features = [connector(self._seen[path]) for connector, path in zip(self.connectors, self.paths, strict=True)]
        self._seen.clear()
        return FeaturedOutput(output, features)


def pair_features(
    student: nn.Module, teacher: nn.Module, pairs: Sequence[FeatureConfig], loss: str, image_size: tuple[int, int]
) -> tuple[WithFeatures, WithFeatures]:
    """Both networks with the features of `pairs`, the student's brought to the teacher's number of channels.

    The connector is a 1x1 convolution, or a linear layer for [B, C], and nothing where the numbers agree.

    Args:
        student: on its device.
        teacher: on its device.
        pairs: paths in both.
        loss: of `FEATURE_LOSSES`.
        image_size: height and width of the images, in pixels.

    Raises:
        UserError: there is no such module (with the nearest path), or its output is not [B, C, H, W] or [B, C], or
            only one of a pair has height and width, or none has and the loss compares places.
    """
    shapes = {}
    for role, network in (("student", student), ("teacher", teacher)):
        paths = [getattr(pair, role) for pair in pairs]
        shapes[role] = _shapes(network, paths, role, image_size)
    connectors = []
    for pair, before, after in zip(pairs, shapes["student"], shapes["teacher"], strict=True):
        if len(before) != len(after):
            raise UserError(
                f"--loss.features pairs {pair.student!r} of the student, {list(before)}, with {pair.teacher!r} of the "
                f"teacher, {list(after)}: either both or neither must have height and width"
            )
        if loss == "cwd" and len(before) == 2:
            raise UserError(
                f"--loss.feature_loss cwd compares where features are high, and {pair.student!r} of the student, "
                f"{list(before)}, has no height and width: give another module, or mse or pkd"
            )
        connectors.append(_connector(before, after).to(next(student.parameters()).device))
    return (
        WithFeatures(student, [pair.student for pair in pairs], connectors),
        WithFeatures(teacher, [pair.teacher for pair in pairs]),
    )


def _connector(before: torch.Size, after: torch.Size) -> nn.Module:
    if before[1] == after[1]:
        return nn.Identity()
    return nn.Conv2d(before[1], after[1], 1) if len(before) == 4 else nn.Linear(before[1], after[1])


def _shapes(network: nn.Module, paths: Sequence[str], role: str, image_size: tuple[int, int]) -> list[torch.Size]:
    """Of what the modules put out for one image."""
    known = dict(network.named_modules())
    shapes: dict[str, torch.Size | None] = {}

    def note(path: str, module: nn.Module, inputs: tuple, output: object) -> None:
        shapes[path] = output.shape if isinstance(output, Tensor) else None

    handles = []
    for path in paths:
        if path not in known:
            raise UserError(f"--loss.features: the {role} has no module {path!r}{nearest(path, list(known))}")
        handles.append(known[path].register_forward_hook(partial(note, path)))
    with frozen(network), torch.no_grad():
        network(torch.zeros(1, 3, *image_size, device=next(network.parameters()).device))
    for handle in handles:
        handle.remove()
    found = []
    for path in paths:
        shape = shapes.get(path)
        if shape is None or len(shape) not in (2, 4):
            given = "no tensor" if shape is None else str(list(shape))
            raise UserError(f"--loss.features: {path!r} of the {role} puts out {given}, not [B, C, H, W] or [B, C]")
        found.append(shape)
    return found


def timm_features(network: nn.Module) -> "FeatureInfo":
    """What timm says of the features of a network that it made with `features_only`."""
    info = network.feature_info
    return info  # pyright: ignore[reportReturnType]: timm gives it to what it makes so
