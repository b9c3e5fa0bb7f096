"""An augmentation policy learned by TST-Fast, as a torchvision transform. Needs torch and torchvision, nothing else.

    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), LearnedPolicy(), v2.Normalize(...)])

Every operation is PIL's, with bilinear interpolation and black beyond the border. A call draws anew: what is passed
together, as a batch [B, C, H, W] is, shares the draw; apply it to single images, before they are collated.

A policy learned with label maps or boxes (COMPOSES_WARPS) moves tv_tensors.Mask and tv_tensors.BoundingBoxes with their
image, by one affine map: the other operations are mixed first, then all warps of the draw, one after the other, are one
resampling, with the mean colour beyond the border. In masks, 255 is what lies beyond it and what Cutout erased (False,
if they hold bools). Boxes become the hulls of their moved corners, clamped to the image; v2.SanitizeBoundingBoxes takes
away those of which nothing is left.
"""

import math
from dataclasses import dataclass

import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torchvision import tv_tensors
from torchvision.transforms import v2

# learned: begin
COMPOSITION = "additive"
COMPOSES_WARPS = False
OPERATIONS_PER_IMAGE = 1
TEMPERATURE = 0.05
FILL = (0.5, 0.5, 0.5)
OPERATIONS = (("Invert", 0.5, None, False),)
# learned: end
"""COMPOSITION: additive, the sum of what each operation changes; or sequential, one after the other.
COMPOSES_WARPS: whether warps are left out of that, and are one map of the image and of what lies in it.
FILL: the mean colour, Cutout's.
OPERATIONS: name, probability, level (in -1..1, None if it has none), whether its sign is drawn at random."""


# What a level of 1 is: a tangent, a share of the side, degrees, a change of factor, bits dropped; Cutout has no level.
SHEAR, TRANSLATION, ROTATION, FACTOR, POSTERIZE, CUTOUT_SIDE = 0.3, 150 / 331, 30, 0.9, 4, 0.5
WARPS = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
IGNORED = 255
"""What masks hold where nothing is known."""


@dataclass
class Choice:
    """All that is random in one call, an item for each operation applied, in order.

    Attributes:
        names: of the operations.
        levels: in -1..1; 0 for operations without one.
        gates: 0 leaves the image alone, 1 applies the operation in full.
        centre: (y, x) in 0..1, where Cutout's square is.
    """

    names: list[str]
    levels: list[float]
    gates: list[float]
    centre: tuple[float, float]


class LearnedPolicy(v2.Transform):
    """Augments image tensors [..., 3, H, W]: uint8, or floating point in 0..1; see above for masks and boxes.

    The sum of what several operations change may leave 0..1: floating-point images are not clamped, as in the policy's
    own training; uint8 images are, and rounded.
    """

    def make_params(self, flat_inputs: list) -> dict[str, Choice]:
        """Draw operations, signs and gates from torch's global generator."""
        names, levels, gates = [], [], []
        for index in torch.randperm(len(OPERATIONS))[:OPERATIONS_PER_IMAGE].tolist():
            name, probability, level, signed = OPERATIONS[index]
            flip = signed and torch.rand(()).item() < 0.5
            names.append(name)
            levels.append((-1 if flip else 1) * (level or 0.0))
            # A relaxed Bernoulli variable (Maddison et al., 2017), nearly always close to 0 or to 1.
            odds = torch.stack([torch.tensor(probability), torch.rand(())]).double().logit(eps=1e-6).sum()
            gates.append((odds / TEMPERATURE).sigmoid().item())
        return {"choice": Choice(names, levels, gates, tuple(torch.rand(2).tolist()))}

    def check_inputs(self, flat_inputs: list) -> None:
        """Refuse what must move with the image, but would not."""
        placed = tv_tensors.BoundingBoxes | tv_tensors.Mask | tv_tensors.KeyPoints
        for given in flat_inputs:
            if isinstance(given, tv_tensors.KeyPoints if COMPOSES_WARPS else placed):
                purpose = "with masks and boxes" if COMPOSES_WARPS else "for classification"
                raise TypeError(f"LearnedPolicy augments images {purpose}, not {type(given).__name__}")
        sizes = {_size(given) for given in flat_inputs if isinstance(given, tv_tensors.TVTensor)}
        if COMPOSES_WARPS and len(sizes) > 1:
            raise ValueError(f"image, masks and boxes must be of one size, got {sorted(sizes)}")

    def transform(self, inpt, params: dict[str, Choice]):
        """Apply a choice to an image, or to several that share it, to its masks or its boxes."""
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(augment_mask(inpt.as_subclass(Tensor), params["choice"]), like=inpt)
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            return move_boxes(inpt, params["choice"])
        if not isinstance(inpt, Tensor):
            raise TypeError(f"LearnedPolicy needs tensors, got {type(inpt).__name__}: put v2.ToImage() before it")
        result = augment(inpt.as_subclass(Tensor), params["choice"])
        return tv_tensors.wrap(result, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else result


def augment(image: Tensor, choice: Choice) -> Tensor:
    """x + sum_k gate_k (operation_k(x) - x); in a sequence, operation k is applied to the result so far.

    Where warps are composed, they are left out, and the result is then resampled once.
    """
    if image.shape[-3] != 3:
        raise ValueError(f"LearnedPolicy needs images [..., 3, H, W], got {list(image.shape)}")
    original = total = F.to_dtype(image, torch.float32, scale=True)
    for name, level, gate in zip(choice.names, choice.levels, choice.gates, strict=True):
        if COMPOSES_WARPS and name in WARPS:
            continue
        x = total if COMPOSITION == "sequential" else original
        total = total + gate * (apply(x, name, level, choice.centre) - x)
    if COMPOSES_WARPS:
        total = _resampled(total, composed(choice, *image.shape[-2:]))
    if image.is_floating_point():
        return total.to(image.dtype)
    return F.to_dtype((255 * total).round().clamp(0, 255) / 255, image.dtype, scale=True)


def augment_mask(mask: Tensor, choice: Choice) -> Tensor:
    """A mask [..., H, W] by the nearest pixel; IGNORED beyond the border and where a gate of 0.5 or more has erased."""
    fill = False if mask.dtype == torch.bool else IGNORED
    height, width = mask.shape[-2:]
    gates = zip(choice.names, choice.gates, strict=True)
    if any(name == "Cutout" and gate >= 0.5 for name, gate in gates):
        mask = mask.masked_fill(_square(height, width, choice.centre, mask.device), fill)
    theta = composed(choice, height, width).to(mask.device)
    places = (affine_grid(theta[None], [1, 1, height, width], align_corners=False)[0] + 1) / 2
    columns, rows = (places * places.new_tensor([width, height])).floor().long().unbind(-1)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return mask[..., rows.clamp(0, height - 1), columns.clamp(0, width - 1)].masked_fill(~inside, fill)


def move_boxes(boxes: tv_tensors.BoundingBoxes, choice: Choice) -> tv_tensors.BoundingBoxes:
    """The hulls of the boxes' moved corners, clamped to the image: torchvision's rule for affine maps."""
    height, width = boxes.canvas_size
    corners = F.convert_bounding_box_format(boxes, new_format=tv_tensors.BoundingBoxFormat.XYXY)
    left, top, right, bottom = corners.as_subclass(Tensor).double().unbind(-1)
    x, y = torch.stack([left, right, right, left], -1), torch.stack([top, top, bottom, bottom], -1)
    whole = torch.eye(3, dtype=torch.float64, device=boxes.device)
    whole[:2] = composed(choice, height, width)
    places = torch.stack([2 * x / width - 1, 2 * y / height - 1, torch.ones_like(x)], -1) @ whole.inverse().mT
    moved = (places[..., :2] + 1) / 2 * places.new_tensor([width, height])
    hulls = torch.cat([moved.amin(-2), moved.amax(-2)], -1)
    hulls = hulls if boxes.is_floating_point() else hulls.round()
    result = tv_tensors.wrap(hulls.to(boxes.dtype), like=boxes, format=tv_tensors.BoundingBoxFormat.XYXY)
    return F.convert_bounding_box_format(F.clamp_bounding_boxes(result), new_format=boxes.format)


def composed(choice: Choice, height: int, width: int) -> Tensor:
    """The warps of a choice, in order, as one map [2, 3] of output to input, in coordinates of -1..1.

    Each at its level times its gate: half a rotation is a rotation by half the angle.
    """
    whole = torch.eye(3)
    for name, level, gate in zip(choice.names, choice.levels, choice.gates, strict=True):
        if name in WARPS:
            whole = whole @ torch.tensor([*_matrix(name, level * gate, height / width), [0.0, 0.0, 1.0]])
    return whole[:2]


def _matrix(name: str, level: float, aspect: float) -> list[list[float]]:
    """Of one warp; shears are about the top-left corner."""
    angle, shift, tangent = math.radians(ROTATION * level), -2 * TRANSLATION * level, SHEAR * level
    match name:
        case "ShearX":
            return [[1, tangent * aspect, tangent * aspect], [0, 1, 0]]
        case "ShearY":
            return [[1, 0, 0], [tangent / aspect, 1, tangent / aspect]]
        case "TranslateX":
            return [[1, 0, shift], [0, 1, 0]]
        case "TranslateY":
            return [[1, 0, 0], [0, 1, shift]]
    cosine, sine = math.cos(angle), math.sin(angle)
    return [[cosine, -sine * aspect, 0], [sine / aspect, cosine, 0]]


def _resampled(x: Tensor, theta: Tensor) -> Tensor:
    """Images [..., 3, H, W] under one map, bilinear, FILL beyond the border."""
    fill = torch.tensor(FILL, dtype=x.dtype, device=x.device)[:, None, None]
    flat = (x - fill).reshape(-1, *x.shape[-3:])
    grid = affine_grid(theta.to(x)[None].expand(len(flat), 2, 3), list(flat.shape), align_corners=False)
    return grid_sample(flat, grid, align_corners=False).view_as(x) + fill


def _size(given: tv_tensors.TVTensor) -> tuple[int, ...]:
    return tuple(given.canvas_size if isinstance(given, tv_tensors.BoundingBoxes) else given.shape[-2:])


def apply(x: Tensor, name: str, level: float, centre: tuple[float, float] = (0.5, 0.5)) -> Tensor:
    """One operation in full: floating point in 0..1 to the same."""
    factor = 1 + FACTOR * level
    match name:
        case "ShearX":
            return _affine(x, shear=(SHEAR * level, 0))
        case "ShearY":
            return _affine(x, shear=(0, SHEAR * level))
        case "TranslateX":
            return _affine(x, translate=(TRANSLATION * level * x.shape[-1], 0))
        case "TranslateY":
            return _affine(x, translate=(0, TRANSLATION * level * x.shape[-2]))
        case "Rotate":
            return F.rotate(x, ROTATION * level, F.InterpolationMode.BILINEAR)
        case "Brightness":
            return F.adjust_brightness(x, factor)
        case "Color":
            return F.adjust_saturation(x, factor)
        case "Contrast":
            return F.adjust_contrast(x, factor)
        case "Sharpness":
            return F.adjust_sharpness(x, factor)
        case "Posterize":
            return F.posterize(_eight_bit(x), 8 - round(POSTERIZE * level)) / 255
        case "Solarize":
            return torch.where(_eight_bit(x) < 255 * (1 - level), x, 1 - x)
        case "AutoContrast":
            return F.autocontrast(_eight_bit(x)) / 255
        case "Equalize":
            return F.equalize(_eight_bit(x)) / 255
        case "Invert":
            return 1 - x
        case "Cutout":
            return _cutout(x, centre)
    raise ValueError(f"no operation is called {name!r}")


def _affine(x: Tensor, translate=(0.0, 0.0), shear=(0.0, 0.0)) -> Tensor:
    """Translated by pixels and sheared by tangents about the top-left corner."""
    degrees = [math.degrees(math.atan(tangent)) for tangent in shear]
    return F.affine(x, 0, list(translate), 1, degrees, F.InterpolationMode.BILINEAR, center=[0, 0])


def _eight_bit(x: Tensor) -> Tensor:
    return (255 * x + 0.5).floor().clamp(0, 255).to(torch.uint8)


def _cutout(x: Tensor, centre: tuple[float, float]) -> Tensor:
    """A square of half the shorter side, clipped at the border, in FILL."""
    fill = torch.tensor(FILL, dtype=x.dtype, device=x.device)[:, None, None]
    return torch.where(_square(*x.shape[-2:], centre, x.device), fill, x)


def _square(height: int, width: int, centre: tuple[float, float], device: torch.device) -> Tensor:
    """The pixels of Cutout's square: bool [H, W]."""
    half = min(height, width) * CUTOUT_SIDE / 2
    rows, columns = (
        (torch.arange(side, device=device) + 0.5 >= place * side - half)
        & (torch.arange(side, device=device) + 0.5 < place * side + half)
        for side, place in zip((height, width), centre, strict=True)
    )
    return rows[:, None] & columns
