"""Each wrong input ends in an error that says what was given and what is expected."""

import subprocess
import sys

import pytest
import torch

from tst_kernels import OPERATIONS, Draw, apply, mix, normalise, warp

_GATES = torch.ones(2, 1, requires_grad=True)
IMAGES = torch.zeros(2, 4, 5, 3, dtype=torch.uint8)


def _draw(**changes):
    fields = {
        "operations": torch.zeros(2, 1, dtype=torch.int32),
        "levels": torch.zeros(2, 1),
        "gates": torch.ones(2, 1),
    }
    return Draw(**(fields | changes))


def _padded(sizes):
    return mix(IMAGES, _draw(), geometry=False, sizes=torch.tensor(sizes))


def _written(out, draw=None, **how):
    return mix(IMAGES, draw or _draw(), out=out, **how)


def _nearest(dtype, fill):
    return warp(IMAGES.to(dtype), torch.zeros(2, 2, 3), "nearest", fill)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: apply(IMAGES, "Rotat", 0.1), ValueError, "did you mean 'Rotate'"),
        (lambda: apply(IMAGES, 3), ValueError, "unknown operation 3. The operations are ShearX"),
        (lambda: apply(IMAGES, "Rotate", [0.1, 0.2]), TypeError, "level must be a number or a tensor, got list"),
        (lambda: apply(IMAGES, "Rotate", "0.1"), TypeError, "level must be a number or a tensor, got str"),
        (lambda: apply(IMAGES, "Rotate"), ValueError, r"Rotate needs a level in \[-1, 1\]"),
        (lambda: apply(IMAGES, "Invert", 0.5), ValueError, "Invert has no level"),
        (lambda: apply(IMAGES, "Rotate", 1.5), ValueError, r"level of Rotate must be in \[-1, 1\], got 1.5"),
        (lambda: apply(IMAGES, "Posterize", -0.5), ValueError, r"level of Posterize must be in \[0, 1\], got -0.5"),
        (lambda: apply(IMAGES, "Rotate", float("nan")), ValueError, "level of Rotate .* got nan"),
        (lambda: apply(IMAGES.to("meta"), "Rotate", 45.0), ValueError, r"level of Rotate must be in \[-1, 1\], got 45"),
        (lambda: apply(IMAGES.to("meta"), "Rotate", torch.tensor([0.5, 2])), ValueError, "level of Rotate .* got 2"),
        (lambda: apply(IMAGES.numpy(), "Invert"), TypeError, "images must be a tensor, got ndarray"),
        (lambda: apply(IMAGES[:0], "Invert"), ValueError, "images must be four-dimensional and not empty"),
        (lambda: apply(IMAGES, "Rotate", torch.zeros(3)), ValueError, r"level must be a number or \[2\]"),
        (lambda: mix(IMAGES.int(), _draw()), TypeError, "uint8 or floating"),
        (lambda: mix(IMAGES[0], _draw()), ValueError, "four-dimensional"),
        (lambda: mix(IMAGES[:0], _draw()), ValueError, "not empty"),
        (lambda: mix(torch.zeros(2, 4, 5, 5), _draw()), ValueError, "1 or 3 channels"),
        (lambda: mix(torch.zeros(2, 4, 5, 3), _draw()), ValueError, r"must be \[B, C, H, W\]"),
        (lambda: mix([1], _draw()), TypeError, "images must be a tensor, got list"),
        (lambda: mix(IMAGES, "draw"), TypeError, "tst_kernels.Draw, got str"),
        (lambda: mix(IMAGES[:1], _draw()), ValueError, "draw must be for 1 images, got one for 2"),
        (lambda: mix(IMAGES.to("meta"), _draw()), ValueError, "draw must be on meta, as the images, got cpu"),
        (lambda: mix(IMAGES, _draw(), mean=(0.5,)), ValueError, "mean must be 3 values"),
        (lambda: mix(IMAGES, _draw(), std=(0.5, 0.1)), ValueError, "std must be 3 values"),
        (lambda: mix(IMAGES, _draw(), std=(0.5, 0.0, 0.1)), ValueError, "std must not be 0"),
        (lambda: mix(IMAGES, _draw(), mean=0.5), TypeError, "mean must be 3 values, one for each channel, got 0.5"),
        (lambda: normalise(IMAGES, mean=0.5, std=torch.ones(3)), TypeError, "mean must be 3 values, .* got 0.5"),
        (lambda: normalise(IMAGES, std=2), TypeError, "std must be 3 values, .* got 2"),
        (
            lambda: mix(IMAGES, _draw(), sizes=torch.ones(2, 2)),
            ValueError,
            "geometry must be False where sizes are given",
        ),
        (lambda: _padded([[4, 5]]), ValueError, r"sizes must be \[2, 2\], height and width"),
        (lambda: _padded([[4.0, 5.0]] * 2), TypeError, "sizes must be int32 or int64, got torch.float32"),
        (
            lambda: _padded([[4, 5], [4, 6]]),
            ValueError,
            r"sizes must be in \[1, 1\]..\[4, 5\], .* got \[4, 6\]: image 1",
        ),
        (lambda: _padded([[0, 5], [4, 5]]), ValueError, r"got \[0, 5\]: image 0"),
        (lambda: mix(IMAGES, _draw(), dtype=torch.uint8), TypeError, "dtype must be floating"),
        (lambda: mix(IMAGES, _draw(), dtype="float16"), TypeError, "such as torch.float16, got 'float16'"),
        (lambda: mix(IMAGES, _draw(), backend="cuda"), ValueError, "backend must be"),
        (lambda: mix(IMAGES, _draw(), dtype=torch.float64, backend="triton"), ValueError, "computes in float32"),
        (lambda: mix(IMAGES, _draw(), memory_format=torch.channels_last_3d), ValueError, "memory_format must be"),
        (lambda: normalise(IMAGES, memory_format=torch.preserve_format), ValueError, "memory_format must be"),
        (lambda: mix(IMAGES, _draw(), out=IMAGES), TypeError, "out must be a floating tensor, got torch.uint8"),
        (
            lambda: _written(torch.zeros(2, 4, 5, 3)),
            ValueError,
            r"out must be \[2, 3, 4, 5\] on cpu .* got \[2, 4, 5, 3\]",
        ),
        (lambda: _written(torch.zeros(2, 3, 4, 5), dtype=torch.float16), ValueError, "leave dtype out"),
        (
            lambda: _written(torch.zeros(2, 3, 4, 5), _draw(gates=_GATES)),
            ValueError,
            "out must not be given where gradients are asked for",
        ),
        (lambda: normalise(IMAGES, out=torch.zeros(2, 3, 4, 4)), ValueError, r"out must be \[2, 3, 4, 5\]"),
        (lambda: _draw(levels=torch.zeros(2, 2)), ValueError, r"Draw.levels must be \[2, 1\]"),
        (lambda: _draw(levels=torch.zeros(2, 1).int()), TypeError, "Draw.levels must be float32"),
        (lambda: _draw(operations=torch.zeros(2)), TypeError, "Draw.operations must be int32"),
        (lambda: _draw(operations=torch.zeros(2, dtype=torch.int32)), ValueError, r"\[batch, slots\]"),
        (lambda: _draw(operations=torch.full((2, 1), 15)), ValueError, "must be codes in 0..14, got 15"),
        (lambda: _draw(centres=torch.zeros(2)), ValueError, r"Draw.centres must be \[2, 2\]"),
        (lambda: _draw(gates=torch.ones(2, 1, device="meta")), ValueError, "on one device"),
        (lambda: warp(IMAGES, torch.zeros(2, 2, 3)), TypeError, "images must be floating for 'bilinear'"),
        (lambda: warp(IMAGES.float(), torch.zeros(2, 3)), ValueError, r"theta must be \[2, 2, 3\]"),
        (lambda: warp(IMAGES[:0].float(), torch.zeros(0, 2, 3)), ValueError, "not empty"),
        (lambda: warp(IMAGES.numpy(), torch.zeros(2, 2, 3)), TypeError, "images must be a tensor, got ndarray"),
        (lambda: warp(IMAGES.float(), [[1.0]]), TypeError, "theta must be a tensor, got list"),
        (lambda: _nearest(torch.uint8, 300), ValueError, r"fill must be a whole number in 0..255 .* got 300"),
        (lambda: _nearest(torch.uint8, -1), ValueError, "got -1"),
        (lambda: _nearest(torch.int64, 0.5), ValueError, "got 0.5"),
        (lambda: _nearest(torch.bool, 2), ValueError, r"0..1 for images of torch.bool, got 2"),
        (lambda: _nearest(torch.int16, float("nan")), ValueError, "got nan"),
        (lambda: _nearest(torch.float16, -70_000), ValueError, r"fill must be in -65504..65504 .* got -70000"),
        (lambda: _nearest(torch.complex64, 0), TypeError, "images must be real, got torch.complex64: warp"),
        (lambda: _nearest(torch.uint8, "0"), TypeError, "fill must be a number, got str"),
        (lambda: warp(IMAGES.float(), torch.zeros(2, 2, 3), fill=None), TypeError, "number, got NoneType"),
        (lambda: warp(IMAGES.half(), torch.zeros(2, 2, 3), fill=1e5), ValueError, "of torch.float16, got 100000"),
        (lambda: warp(IMAGES.float(), torch.zeros(2, 2, 3), fill=1e39), ValueError, r"of torch.float32, got 1e\+39"),
        (lambda: warp(IMAGES.float(), torch.zeros(2, 2, 3), "bicubic"), ValueError, "'bilinear' or 'nearest'"),
    ],
)
def test_says_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_triton_needs_a_gpu_or_its_interpreter(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="needs tensors on a GPU, got cpu"):
        mix(IMAGES, _draw(), backend="triton")


def test_triton_may_be_missing():
    """Without Triton, `import tst_kernels` and the torch backend work, and asking for Triton says what to install."""
    program = (
        "import importlib.util as u, sys; find = u.find_spec;"
        "u.find_spec = lambda name, *rest: None if name == 'triton' else find(name, *rest);"
        "sys.modules['triton'] = None; import torch; from tst_kernels import apply; x = torch.zeros(1, 3, 4, 4);"
        "apply(x, 'Invert');\ntry: apply(x, 'Invert', backend='triton')\nexcept ValueError as error: print(error)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "which is not installed: pip install triton" in output


def test_triton_is_not_imported_before_it_is_needed():
    program = "import sys, tst_kernels; print('triton' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "False"


def test_kernels_stand_alone():
    """A fresh interpreter that imports and uses `tst_kernels` loads no other room, nor DALI, nor Accelerate."""
    program = (
        "import sys, torch, tst_kernels; tst_kernels.apply(torch.zeros(1, 3, 4, 4), 'Invert');"
        "print([m for m in sys.modules if m.split('.')[0] in ('tst_fast', 'tst_pipelines', 'nvidia', 'accelerate')])"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_draws_compare_by_identity():
    """Field by field, the comparison of two would ask for the truth of a tensor."""
    one, other = _draw(), _draw()
    assert one == one and one != other and len({one, other}) == 2


def test_codes_are_positions():
    assert [operation.code for operation in OPERATIONS.values()] == list(range(15))
