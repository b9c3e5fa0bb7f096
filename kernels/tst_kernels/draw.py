"""A draw: everything random about one augmentation of one batch, as data."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor

from tst_kernels.operations import OPERATIONS

_SIGNED = tuple(operation.signed for operation in OPERATIONS.values())


@dataclass(frozen=True, eq=False)
class Draw:
    """Which operations act on each image of a batch, how strongly, and how much of each is mixed in.

    All randomness is in it, so the same draw on the same images gives the same result.

    Attributes:
        operations: int32 or int64 [B, K], codes: positions in `OPERATIONS`.
        levels: floating [B, K], in [-1, 1] for signed operations and [0, 1] for the others; ignored by operations
            without a level.
        gates: floating [B, K]: 0 leaves the image alone, 1 applies the operation in full.
        centres: floating [B, 2], (y, x) in 0..1, where Cutout's square is centred; None puts it in the middle.

    Raises:
        TypeError: a field is not a tensor or of the wrong kind of dtype.
        ValueError: shapes or devices do not agree, or, for a draw on the CPU, a code or level is out of range.
    """

    operations: Tensor
    levels: Tensor
    gates: Tensor
    centres: Tensor | None = None

    def __post_init__(self) -> None:
        _require_dtype("operations", self.operations, (torch.int32, torch.int64))
        floating = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
        _require_dtype("levels", self.levels, floating)
        _require_dtype("gates", self.gates, floating)
        if self.operations.ndim != 2 or 0 in self.operations.shape:
            raise ValueError(f"Draw.operations must be [batch, slots] and not empty, got {list(self.operations.shape)}")
        _require_shape("levels", self.levels, self.operations.shape)
        _require_shape("gates", self.gates, self.operations.shape)
        if self.centres is not None:
            _require_dtype("centres", self.centres, floating)
            _require_shape("centres", self.centres, (self.operations.shape[0], 2))
        devices = {t.device for t in (self.operations, self.levels, self.gates, self.centres) if t is not None}
        if len(devices) > 1:
            raise ValueError(f"a Draw's tensors must be on one device, got {sorted(map(str, devices))}")
        if are_values_known(self.operations, self.levels):
            _require_range(self.operations, self.levels.detach())


def are_values_known(*tensors: Tensor) -> bool:
    """Whether the values can be looked at now: not where that would wait for a device, or where there are none yet."""
    return not torch.compiler.is_compiling() and all(
        tensor.device.type == "cpu"
        and type(tensor) in (Tensor, torch.nn.Parameter)  # others, such as FakeTensor, may hold no values
        and not is_batchedtensor(tensor)
        for tensor in tensors
    )


def _require_dtype(field: str, tensor: Tensor, allowed: tuple[torch.dtype, ...]) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"Draw.{field} must be a tensor, got {type(tensor).__name__}")
    if tensor.dtype not in allowed:
        names = " or ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
        raise TypeError(f"Draw.{field} must be {names}, got {str(tensor.dtype).removeprefix('torch.')}")


def _require_shape(field: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"Draw.{field} must be {list(shape)} to match operations, got {list(tensor.shape)}")


def _require_range(operations: Tensor, levels: Tensor) -> None:
    if operations.min() < 0 or operations.max() >= len(OPERATIONS):
        bad = int(operations[(operations < 0) | (operations >= len(OPERATIONS))][0])
        raise ValueError(f"Draw.operations must be codes in 0..{len(OPERATIONS) - 1}, got {bad}: see OPERATIONS")
    lowest = torch.tensor(_SIGNED)[operations.long()].to(levels.dtype).neg()
    outside = ~((levels >= lowest) & (levels <= 1))  # written so that NaN is outside too
    if outside.any():
        image, slot = (int(i) for i in outside.nonzero()[0])
        operation = list(OPERATIONS.values())[int(operations[image, slot])]
        raise ValueError(
            f"level of {operation.name} must be in {'[-1, 1]' if operation.signed else '[0, 1]'}, got "
            f"{float(levels[image, slot]):g} (image {image}, slot {slot})"
        )


def check_sizes(sizes: Tensor, batch: int, height: int, width: int) -> None:
    """Refuse sizes of pictures that are not [batch, 2] whole numbers or do not fit a canvas of height x width.

    Raises:
        TypeError: not a tensor of whole numbers.
        ValueError: another shape, or, where values are known, a picture that is empty or larger than the canvas.
    """
    if not isinstance(sizes, Tensor):
        raise TypeError(f"sizes must be a tensor, got {type(sizes).__name__}")
    if sizes.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"sizes must be int32 or int64, got {sizes.dtype}")
    if tuple(sizes.shape) != (batch, 2):
        raise ValueError(f"sizes must be [{batch}, 2], height and width of each picture, got {list(sizes.shape)}")
    if are_values_known(sizes):
        wrong = (sizes < 1) | (sizes > torch.tensor([height, width]))
        if wrong.any():
            image = int(wrong.any(1).nonzero()[0])
            given, canvas = sizes[image].tolist(), [height, width]
            raise ValueError(f"sizes must be in [1, 1]..{canvas}, the size of the canvas, got {given}: image {image}")
