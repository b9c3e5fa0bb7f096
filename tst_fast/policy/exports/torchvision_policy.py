"""An augmentation policy learned by TST-Fast, as a torchvision transform. Needs torch and torchvision, nothing else.

    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), LearnedPolicy(), v2.Normalize(...)])

Every operation is PIL's, with bilinear interpolation and black beyond the border. A call draws anew: what is passed
together, as a batch [B, C, H, W] is, shares the draw; apply it to single images, before they are collated.
"""

import math
from dataclasses import dataclass

import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

# learned: begin
COMPOSITION = "additive"
OPERATIONS_PER_IMAGE = 1
TEMPERATURE = 0.05
FILL = (0.5, 0.5, 0.5)
OPERATIONS = (("Invert", 0.5, None, False),)
# learned: end
"""COMPOSITION: additive, the sum of what each operation changes; or sequential, one after the other. FILL: Cutout's.
OPERATIONS: name, probability, level (in -1..1, None if it has none), whether its sign is drawn at random."""


# What a level of 1 is: a tangent, a share of the side, degrees, a change of factor, bits dropped; Cutout has no level.
SHEAR, TRANSLATION, ROTATION, FACTOR, POSTERIZE, CUTOUT_SIDE = 0.3, 150 / 331, 30, 0.9, 4, 0.5


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
    """Augments image tensors [..., 3, H, W]: uint8, or floating point in 0..1.

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
        for given in flat_inputs:
            if isinstance(given, tv_tensors.BoundingBoxes | tv_tensors.Mask | tv_tensors.KeyPoints):
                raise TypeError(f"LearnedPolicy augments images for classification, not {type(given).__name__}")

    def transform(self, inpt, params: dict[str, Choice]):
        """Apply a choice to an image, or to several that share it."""
        if not isinstance(inpt, Tensor):
            raise TypeError(f"LearnedPolicy needs tensors, got {type(inpt).__name__}: put v2.ToImage() before it")
        result = augment(inpt.as_subclass(Tensor), params["choice"])
        return tv_tensors.wrap(result, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else result


def augment(image: Tensor, choice: Choice) -> Tensor:
    """x + sum_k gate_k (operation_k(x) - x); in a sequence, operation k is applied to the result so far."""
    if image.shape[-3] != 3:
        raise ValueError(f"LearnedPolicy needs images [..., 3, H, W], got {list(image.shape)}")
    original = total = F.to_dtype(image, torch.float32, scale=True)
    for name, level, gate in zip(choice.names, choice.levels, choice.gates, strict=True):
        x = total if COMPOSITION == "sequential" else original
        total = total + gate * (apply(x, name, level, choice.centre) - x)
    if image.is_floating_point():
        return total.to(image.dtype)
    return F.to_dtype((255 * total).round().clamp(0, 255) / 255, image.dtype, scale=True)


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
    half = min(x.shape[-2:]) * CUTOUT_SIDE / 2
    rows, columns = (
        (torch.arange(side, device=x.device) + 0.5 >= place * side - half)
        & (torch.arange(side, device=x.device) + 0.5 < place * side + half)
        for side, place in zip(x.shape[-2:], centre, strict=True)
    )
    fill = torch.tensor(FILL, dtype=x.dtype, device=x.device)[:, None, None]
    return torch.where(rows[:, None] & columns, fill, x)
