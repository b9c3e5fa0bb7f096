"""An augmentation policy learned by TST-Fast, for NVIDIA DALI. Needs DALI and numpy, nothing else.

    @pipeline_def(enable_conditionals=True)
    def pipeline():
        ...
        images = augment(images)  # uint8 [H, W, 3] to float [H, W, 3], 0..255: normalise it next

`augment` draws operations, gates and signs anew for each image. `POLICY` is the same in the form of
`nvidia.dali.auto_aug`, for `auto_augment.apply_auto_augment(POLICY, images)`: each operation drawn is then applied in
full or not at all, one after the other, and everything stays uint8.

Operations are PIL's with bilinear interpolation and black beyond the border, in whole 8-bit values. Equalize is
OpenCV's. In a sequence, operations are applied in the order of the table below, not in a random one.
"""

import itertools

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.auto_aug.core import Policy, augmentation, signed_bin

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

# Older releases call them experimental.
_filter = fn.filter if hasattr(fn, "filter") else fn.experimental.filter
_equalize = fn.equalize if hasattr(fn, "equalize") else fn.experimental.equalize


def _warp(images, matrix):
    """By a matrix from output to input pixels."""
    return fn.warp_affine(
        images, matrix=matrix, inverse_map=True, fill_value=0, interp_type=types.DALIInterpType.INTERP_LINEAR
    )


def shear(images, matrix):
    """About the top-left corner."""
    return _warp(images, matrix)


def translate(images, share):
    """By a share (x, y) of width and height."""
    return _warp(images, fn.transforms.translation(offset=-share * _width_and_height(images)))


def rotate(images, degrees):
    """Counter-clockwise about the centre."""
    return _warp(images, fn.transforms.rotation(angle=degrees, center=_width_and_height(images) / 2))


def brightness(images, factor):
    """Times the factor."""
    return _pixels(images * factor)


def color(images, factor):
    """Away from the image's own grey, or towards it."""
    return _pixels(images * factor + _grey(images) * (1 - factor))


def contrast(images, factor):
    """Away from the mean grey, or towards it."""
    mean = fn.reductions.mean(_grey(images), axis_names="HW", keep_dims=True)
    return _pixels(images * factor + mean * (1 - factor))


def sharpness(images, kernel):
    """Away from the smoothed image, or towards it; the outermost pixels are kept."""
    filtered = _filter(images, kernel)
    inner = {"anchor": [1, 1], "shape": fn.cast(images.shape()[:2], dtype=types.FLOAT) - 2, "axis_names": "HW"}
    return filtered - fn.erase(filtered, **inner) + fn.erase(images, **inner)


def posterize(images, mask):
    """Keep the highest bits."""
    return images & mask


def solarize(images, threshold):
    """Invert where a value reaches the threshold."""
    kept = images < threshold
    return kept * images + (kept ^ True) * _inverse(images)


def auto_contrast(images, _):
    """Stretch each channel to 0..255."""
    low = fn.reductions.min(images, axis_names="HW", keep_dims=True)
    high = fn.reductions.max(images, axis_names="HW", keep_dims=True)
    span = fn.cast(high, dtype=types.FLOAT) - low
    flat = span < 1
    stretched = (fn.cast(images, dtype=types.FLOAT) - low) * 255 / (span + flat)
    return _pixels(stretched * (flat ^ True) + images * flat - 0.5)


def equalize(images, _):
    """Equalise each channel's histogram."""
    return _equalize(images)


def invert(images, _):
    """255 - x."""
    return _inverse(images)


def cutout(images, _, centre=None):
    """A square of half the shorter side, at (y, x) in 0..1 or anywhere, clipped at the border, in FILL."""
    size = fn.cast(images.shape()[:2], dtype=types.FLOAT)
    if centre is None:
        centre = fn.random.uniform(size, range=(0.0, 1.0))
    half = fn.reductions.min(size) * (CUTOUT_SIDE / 2)
    # The pixels whose centres lie in the square.
    first, last = math.floor(centre * size - half + 0.5), math.floor(centre * size + half + 0.5)
    first, last = fn.cast(first, dtype=types.FLOAT), fn.cast(last, dtype=types.FLOAT)
    return fn.erase(images, anchor=first, shape=last - first, axis_names="HW", fill_value=[255 * v for v in FILL])


def _width_and_height(images):
    shape = images.shape(dtype=types.FLOAT)
    return fn.stack(shape[1], shape[0])


def _inverse(images):
    return types.Constant(255, dtype=types.UINT8) - images


def _grey(images):
    weights = types.Constant(np.array([0.299, 0.587, 0.114], np.float32))
    return fn.reductions.sum(images * weights, axis_names="C", keep_dims=True)


def _pixels(x):
    """To uint8, rounded and clamped."""
    return fn.cast(x, dtype=types.UINT8)


def _matrix(x, y):
    return lambda level: np.array([[1, x * level, 0], [y * level, 1, 0]], np.float32)


def _share(x, y):
    return lambda level: np.array([x * level, y * level], np.float32) * np.float32(TRANSLATION)


def _factor(level):
    return np.float32(1 + FACTOR * level)


def _sharpness_kernel(level):
    smooth = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    factor = _factor(level)
    kernel = (1 - factor) * smooth
    kernel[1, 1] += factor
    return kernel


TABLE = {
    "ShearX": (shear, _matrix(SHEAR, 0), "cpu"),
    "ShearY": (shear, _matrix(0, SHEAR), "cpu"),
    "TranslateX": (translate, _share(1, 0), "cpu"),
    "TranslateY": (translate, _share(0, 1), "cpu"),
    "Rotate": (rotate, lambda level: np.float32(ROTATION * level), "cpu"),
    "Brightness": (brightness, _factor, "cpu"),
    "Color": (color, _factor, "cpu"),
    "Contrast": (contrast, _factor, "cpu"),
    "Sharpness": (sharpness, _sharpness_kernel, "auto"),
    "Posterize": (posterize, lambda level: np.uint8(256 - 2 ** round(POSTERIZE * level)), "auto"),
    "Solarize": (solarize, lambda level: np.float32(255 * (1 - level)), "auto"),
    "AutoContrast": (auto_contrast, None, "cpu"),
    "Equalize": (equalize, None, "cpu"),
    "Invert": (invert, None, "cpu"),
    "Cutout": (cutout, None, "cpu"),
}
"""Each operation, what makes its parameter of the level, and where DALI keeps the parameter."""


def make_augmentation(name, level, signed):
    """One operation at one level, in the form of `nvidia.dali.auto_aug`."""
    operation, parameter, device = TABLE[name]
    levels = None if level is None else np.array([level])
    return augmentation(
        operation, mag_range=levels, randomly_negate=signed, mag_to_param=parameter, param_device=device, name=name
    )


AUGMENTATIONS = [make_augmentation(name, level, signed) for name, _, level, signed in OPERATIONS]
PROBABILITIES = np.clip([probability for _, probability, _, _ in OPERATIONS], 1e-6, 1 - 1e-6)
LOGITS = np.log(PROBABILITIES / (1 - PROBABILITIES)).astype(np.float32)
CHOICES = list(itertools.combinations(range(len(OPERATIONS)), OPERATIONS_PER_IMAGE))
MASKS = np.array([[i in choice for i in range(len(OPERATIONS))] for choice in CHOICES], np.int32)
POLICY = Policy(
    name="learned",
    num_magnitude_bins=1,
    sub_policies=[
        [(AUGMENTATIONS[i], OPERATIONS[i][1], None if OPERATIONS[i][2] is None else 0) for i in choice]
        for choice in CHOICES
    ],
)


def draw():
    """All that is random.

    Returns:
        An item for each operation: whether it is chosen, its gate, and whether it is negated; then the centre of
        Cutout's square, (y, x) in 0..1.
    """
    count = len(OPERATIONS)
    chosen = types.Constant(MASKS)[fn.random.uniform(values=list(range(len(CHOICES))), dtype=types.INT32)]
    logits = types.Constant(LOGITS)
    uniform = fn.random.uniform(range=(1e-6, 1 - 1e-6), shape=count)
    # A relaxed Bernoulli variable (Maddison et al., 2017), nearly always close to 0 or to 1.
    gates = 1 / (1 + math.exp(-(logits + math.log(uniform / (1 - uniform))) / TEMPERATURE))
    negated = fn.random.uniform(values=[0, 1], dtype=types.INT32, shape=count)
    return chosen, gates, negated, fn.random.uniform(range=(0.0, 1.0), shape=2)


def augment(images, choice=None):
    """x + sum_k gate_k (operation_k(x) - x), not clamped; in a sequence, operation k is applied to the result so far.

    Args:
        images: uint8 [H, W, 3].
        choice: what `draw` gives; None draws.

    Returns:
        float [H, W, 3], around 0..255.
    """
    chosen, gates, negated, centre = draw() if choice is None else choice
    total = fn.cast(images, dtype=types.FLOAT)
    for i in range(len(OPERATIONS)):
        if chosen[i]:
            x = _pixels(total) if COMPOSITION == "sequential" else images
            sign = signed_bin(0, random_sign=negated[i])
            changed = AUGMENTATIONS[i](x, magnitude_bin=sign, num_magnitude_bins=1, centre=centre)
            total = total + gates[i] * (fn.cast(changed, dtype=types.FLOAT) - x)
    return total
