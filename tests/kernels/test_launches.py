"""What a call costs the host: how many kernels it launches, and that Triton looks for each of them once."""

from unittest import mock

import pytest
import torch
import triton.language as tl

from tests.kernels.triton_cases import MEAN, STD, in_layout, interpreted, move, random_draw
from tst_kernels import mix
from tst_kernels.fused import launch, launcher
from tst_kernels.fused.pixels import Layout

pytestmark = interpreted


def _launched(function):
    """The names of the kernels that a call launches, in order, and what it returns."""
    names = []

    def recorded(kernel, *arguments):
        names.append(kernel.fn.__name__)
        return launcher.launch(kernel, *arguments)

    with mock.patch.object(launch, "launch", recorded):
        result = function()
    return names, result


@pytest.mark.parametrize(("size", "forward"), [((8, 9), ["prepare", "mix"]), ((150, 150), ["count", "prepare", "mix"])])
def test_launches_of_one_mix(size, forward):
    images, draw = in_layout("nhwc", 1, *size), move(random_draw(1, 2), "cpu")
    names, result = _launched(lambda: mix(images, draw, MEAN, STD, backend="triton"))
    assert names == forward
    names, _ = _launched(lambda: result.sum().backward())
    assert names == ["sum_gradients", "compute_gradients"]


def test_a_fill_is_of_one_type_to_triton():
    """Else what was compiled for a whole number would be launched with another."""
    images, theta, constants = torch.rand(1, 1, 6, 6), torch.eye(2, 3)[None], []

    def recorded(kernel, programs, arguments, shape, *others):
        constants.append(shape)

    with mock.patch.object(launch, "launch", recorded):
        for fill in (1, 1.0):
            launch.warp_backward(images, images, theta, True, fill, (False, True))
    assert [type(values[1]) for values in constants] == [float, float]


def _far_apart(*sizes):
    """Float32 of these sizes, the second of them outermost: as far apart as the largest planes, to a mocked limit."""
    first, planes, *others = sizes
    return torch.zeros(planes, first, *others).transpose(0, 1)


def test_results_are_written_where_they_are_asked_for_however_far_apart(monkeypatch):
    draw, pixels = move(random_draw(2, 2), "cpu"), torch.rand(2, 3, 8, 9)
    images, near = _far_apart(2, 3, 8, 9).copy_(pixels).requires_grad_(), pixels.clone().requires_grad_()
    mix(near, draw, MEAN, STD, backend="triton").square().sum().backward()
    monkeypatch.setattr(launch, "_extent", lambda tensor: 0 if tensor.is_contiguous() else 2**31)
    mix(images, draw, MEAN, STD, backend="triton").square().sum().backward()
    torch.testing.assert_close(images.grad, near.grad, atol=0, rtol=0)
    with torch.no_grad(), pytest.raises(ValueError, match=r"out must have offsets below 2\^31"):
        mix(pixels, draw, MEAN, STD, backend="triton", out=_far_apart(2, 3, 8, 9))


class _Kernel:
    """In place of a function of `triton.jit`: counts how often it is asked to find a compiled kernel."""

    def __init__(self):
        self.fn, self.searches, self.launches = self, 0, []

    def __getitem__(self, grid):
        def search(*arguments, **options):
            self.searches += 1
            self.launches.append((grid, arguments))
            return mock.MagicMock(
                __getitem__=lambda _, grid: lambda *arguments: self.launches.append((grid, arguments))
            )

        return search


@pytest.fixture
def compiles(monkeypatch):
    monkeypatch.setattr(launcher, "INTERPRETED", False)
    monkeypatch.setattr(launcher, "compiled", {})
    monkeypatch.setattr(launcher, "options", lambda *_: {})


def test_a_kernel_is_searched_for_once_for_arguments_alike(compiles):
    kernel = _Kernel()
    first, second = torch.zeros(4, 4), torch.ones(4, 4)
    for tensor in (first, second, first):
        launcher.launch(kernel, 7, (tensor,), (3,), launcher.specialisation_key(tensor))
    assert kernel.searches == 1
    assert [grid[0] for grid, _ in kernel.launches] == [7, 7, 7]
    assert all(arguments[1:] == (3,) for _, arguments in kernel.launches)
    given = [arguments[0] for _, arguments in kernel.launches]
    assert all(one is other for one, other in zip(given, (first, second, first), strict=True))


@pytest.mark.parametrize(
    ("tensor", "constants"),
    [
        (torch.zeros(4, 4, dtype=torch.float16), (3,)),
        (torch.zeros(4, 5), (3,)),
        (torch.zeros(4, 4).T, (3,)),
        (torch.zeros(17)[1:].view(4, 4), (3,)),  # at an address that vectors cannot be loaded from
        (None, (3,)),
        (torch.zeros(4, 4), (16,)),
    ],
)
def test_it_is_searched_for_anew_where_anything_differs_that_it_may_be_compiled_for(compiles, tensor, constants):
    kernel, before = _Kernel(), torch.zeros(4, 4)
    launcher.launch(kernel, 1, (before,), (3,), launcher.specialisation_key(before))
    launcher.launch(kernel, 1, (tensor,), constants, launcher.specialisation_key(tensor))
    assert kernel.searches == 2


def test_the_first_layouts_are_known_at_compile_time_and_later_ones_are_not(monkeypatch):
    monkeypatch.setattr(launch, "INTERPRETED", False)
    monkeypatch.setattr(launch, "_specialised", {})
    sides = range(8, 8 + launch._MOST_SPECIALISED + 3)
    layouts = [launch.specialised(launch._image(torch.zeros(2, 3, side, 9))).layout for side in (*sides, *sides)]
    known = [isinstance(layout.height, tl.constexpr) for layout in layouts]
    assert known == 2 * ([True] * launch._MOST_SPECIALISED + [False] * 3)
    assert layouts[0] == Layout(tl.constexpr(72), None, tl.constexpr(1), tl.constexpr(8), tl.constexpr(9))
    assert layouts[-1] == Layout(9 * sides[-1], None, 1, sides[-1], 9)


def _nhwc(batch, height, width, dtype=torch.uint8, first=0):
    """[B, 3, H, W] over pixels that lie one after the other, from an element on."""
    elements = torch.zeros(batch * height * width * 3 + first, dtype=dtype)
    return elements[first:].view(batch, height, width, 3).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("images", "in_pairs"),
    [
        (_nhwc(2, 5, 6), True),
        (_nhwc(2, 5, 6, torch.bfloat16), True),
        (_nhwc(2, 5, 6, torch.float16, first=2), True),
        (_nhwc(2, 5, 6, torch.float32), False),  # each is a word of its own
        (_nhwc(1, 5, 7), False),  # the last pixel has none beside it
        (_nhwc(2, 5, 6, first=1), False),  # not where a word may begin
        (_nhwc(2, 5, 6, torch.bfloat16, first=1), False),
        (_nhwc(2, 6, 5)[:, :, :4], True),  # a gap between images, of whole words
        (_nhwc(2, 3, 3)[:, :, :2], False),  # and not
        (_nhwc(1, 3, 3)[:, :, :2], True),  # there is no second image
        (_nhwc(2, 5, 6)[:, :, :, :4], False),  # gaps between rows
        (torch.zeros(2, 3, 5, 6, dtype=torch.uint8), False),
        (torch.zeros(2, 5, 6, 4, dtype=torch.uint8).permute(0, 3, 1, 2)[:, :3], False),
    ],
)
def test_which_images_are_read_in_pairs(images, in_pairs):
    layout = launch._image(images).layout
    assert layout.pair_words == (3 if in_pairs else None)
    size = layout.height * layout.width
    assert not in_pairs or (size % 2 == 0 and images.data_ptr() % (2 * images.itemsize) == 0)
