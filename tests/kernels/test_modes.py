"""The modes of PyTorch that a call may happen in: right in each, or refused in words of our own."""

from collections.abc import Callable

import pytest
import torch
import torch.autograd.forward_ad as forward_mode
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from tests.kernels.tolerances import FLOAT32
from tests.kernels.triton_cases import MEAN, STD, floats, interpreted, random_draw
from tst_kernels import Draw, mix, normalise, warp

IMAGES = floats(2, 3, 6, 7).float()
THETA = torch.tensor([[[0.9, 0.13, 0.07], [-0.11, 1.05, -0.03]]] * 2)
BACKENDS = ["torch", pytest.param("triton", marks=interpreted)]


DRAW = random_draw(2, 3, seed=1)
LEVELS = DRAW.levels


def _mixed(levels: Tensor, backend: str = "triton", images: Tensor = IMAGES, like: Callable = lambda x: x) -> Tensor:
    operations, gates, centres = (like(field) for field in (DRAW.operations, DRAW.gates, DRAW.centres))
    return mix(images, Draw(operations, levels, gates, centres), MEAN, STD, backend=backend)


class _Normalise(nn.Module):
    def forward(self, images):
        return normalise(images, MEAN, STD)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_mode_leaves_anything_behind(backend):
    """An earlier call in another mode changes nothing: normalisation once kept the tensors of the first."""
    torch.export.export(_Normalise(), (IMAGES,))
    with FakeTensorMode() as mode:
        images = mode.from_tensor(IMAGES)
        assert isinstance(normalise(images, MEAN, STD), FakeTensor)
        fake = mode.from_tensor
        assert backend == "torch" or isinstance(_mixed(fake(LEVELS), "triton", images, fake), FakeTensor)
    with torch.inference_mode():
        _mixed(LEVELS, backend)
    levels, images = LEVELS.clone().requires_grad_(), IMAGES.clone().requires_grad_()
    result = _mixed(levels, backend, images) + normalise(images, MEAN, STD)
    assert type(result) is Tensor and not result.is_inference()
    result.sum().backward()
    assert (levels.grad != 0).any() and (images.grad != 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_torch_func(backend):
    levels = LEVELS.clone().requires_grad_()
    _mixed(levels, backend).square().sum().backward()
    of_levels = torch.func.grad(lambda m: _mixed(m, backend).square().sum())(LEVELS)
    torch.testing.assert_close(of_levels, levels.grad)
    # By the images, too: by theta alone, grid_sample of PyTorch 2.11 has none under vmap.
    sums = torch.func.jacrev(lambda x, t: warp(x, t, backend=backend).sum((1, 2, 3)), argnums=(0, 1))
    _, jacobian = sums(IMAGES, THETA)
    theta = THETA.clone().requires_grad_()
    (first,) = torch.autograd.grad(warp(IMAGES, theta, backend=backend)[0].sum(), theta)
    torch.testing.assert_close(jacobian[0], first)


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # of operations in place, in torch
@pytest.mark.parametrize("backend", BACKENDS)
def test_vmap(backend):
    several = torch.stack([IMAGES, 0.5 * IMAGES])
    result = torch.vmap(lambda images: _mixed(LEVELS, backend, images))(several)
    expected = torch.stack([_mixed(LEVELS, backend, images) for images in several])
    torch.testing.assert_close(result, expected, atol=FLOAT32, rtol=0)
    thetas = torch.stack([THETA, 0.8 * THETA], dim=1)
    result = torch.vmap(lambda theta: warp(IMAGES, theta, backend=backend), in_dims=1)(thetas)
    expected = torch.stack([warp(IMAGES, theta, backend=backend) for theta in thetas.unbind(1)])
    torch.testing.assert_close(result, expected, atol=FLOAT32, rtol=0)


@interpreted
def test_vmap_over_levels_and_not_over_the_mean():
    several = torch.stack([LEVELS, 0.5 * LEVELS])
    expected = torch.stack([_mixed(levels) for levels in several])
    torch.testing.assert_close(torch.vmap(_mixed)(several), expected, atol=FLOAT32, rtol=0)
    with pytest.raises(NotImplementedError, match="mean and std must be the same for all of a vmap"):
        torch.vmap(lambda mean: mix(IMAGES, DRAW, mean, backend="triton"))(torch.rand(2, 3))


CALLS = [(_mixed, LEVELS), (lambda theta: warp(IMAGES, theta, backend="triton"), THETA)]


@interpreted
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # PyTorch's own
@pytest.mark.parametrize(("call", "given"), CALLS)
def test_forward_mode_is_refused(call, given):
    """It once gave 0."""
    with pytest.raises(NotImplementedError, match="no forward-mode derivatives in Triton"):
        torch.func.jvp(call, (given,), (torch.ones_like(given),))
    with forward_mode.dual_level(), pytest.raises(NotImplementedError, match="no forward-mode derivatives in Triton"):
        call(forward_mode.make_dual(given, torch.ones_like(given)))


@interpreted
@pytest.mark.parametrize(("call", "given"), CALLS)
def test_second_derivatives_are_refused(call, given):
    given = given.clone().requires_grad_()
    (first,) = torch.autograd.grad(call(given).square().sum(), given, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivatives in Triton"):
        first.sum().backward()
