"""What is not finite: NaN comes out where NaN went in, alike on both backends (see `mix`)."""

import pytest
import torch
import torch.nn.functional as F

from tests.kernels.images import noise
from tests.kernels.tolerances import FLOAT32
from tests.kernels.triton_cases import floats, interpreted
from tst_kernels import OPERATIONS, Draw, Family, draw, mix, warp

# Triton's interpreter computes in NumPy, which warns.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

NAN, INFINITY = float("nan"), float("inf")
BACKENDS = ["torch", pytest.param("triton", marks=interpreted)]
COUNT = len(OPERATIONS)
HAS_LEVEL = torch.tensor([operation.has_level for operation in OPERATIONS.values()])


@pytest.fixture(autouse=True)
def _values_unseen(monkeypatch):
    """As of a draw on a GPU, whose levels nobody looks at."""
    monkeypatch.setattr(draw, "are_values_known", lambda *_: False)


def _each(level: float = 0.31, gate: float = 0.9) -> Draw:
    """Each operation on an image of its own, at this level and gate; then each on another, at plain ones."""
    codes = torch.arange(COUNT).repeat(2)[:, None]
    levels = torch.tensor([[level]] * COUNT + [[0.31]] * COUNT, requires_grad=True)
    gates = torch.tensor([[gate]] * COUNT + [[0.9]] * COUNT, requires_grad=True)
    return Draw(codes, levels, gates)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize("field", ["level", "gate"])
def test_a_level_or_gate_spoils_its_whole_image(field, value, backend):
    each = _each(**{field: value})
    result = mix(noise(2 * COUNT, 5, 6, 3), each, backend=backend)
    spoiled, plain = result[:COUNT].flatten(1), result[COUNT:]
    expected = HAS_LEVEL if field == "level" else torch.ones(COUNT, dtype=torch.bool)
    assert torch.equal(spoiled.isnan().all(1), expected) and torch.equal(spoiled.isnan().any(1), expected)
    assert plain.isfinite().all()
    result.sum().backward()
    assert each.gates.grad[COUNT:].isfinite().all() and each.levels.grad[COUNT:].isfinite().all()
    assert each.levels.grad[:COUNT][HAS_LEVEL].isnan().all()
    if field == "level" and value != value:
        assert torch.equal(each.gates.grad[:COUNT, 0].isnan(), HAS_LEVEL)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [NAN, INFINITY])
def test_a_pixel_spoils_those_that_read_it(value, backend):
    image = floats(1, 3, 7, 8, seed=2)
    images, changed, spoiled = (image.repeat(2 * COUNT, 1, 1, 1) for _ in range(3))
    changed[:, :, 3, 4] += 0.2
    depend = mix(images, _each(), backend="torch") != mix(changed, _each(), backend="torch")
    spoiled[:COUNT, :, 3, 4] = value
    result = mix(spoiled.float(), _each(), backend=backend)
    assert result[COUNT:].isfinite().all()
    for name, lost, reads in zip(OPERATIONS, ~result.isfinite().all(1), depend.any(1), strict=False):
        if name == "Contrast":  # an infinite mean is clamped away, a NaN is not
            assert lost[3, 4] and lost.all() == (value != value)
        elif OPERATIONS[name].family == Family.WARP:  # which may also read with a weight of 0
            near = F.max_pool2d(reads.float()[None], 3, 1, 1)[0].bool()
            assert lost[reads].all() and near[lost].all()
        elif OPERATIONS[name].family == Family.TABLE:
            assert lost[3, 4] and lost.sum() == 1
        else:
            assert torch.equal(lost, reads)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["AutoContrast", "Equalize"])
def test_tables_count_nan_as_0(name, backend):
    image = floats(1, 3, 20, 30).float() * 0.5 + 0.25
    black, spoiled = image.clone(), image.clone()
    black[..., 5:9, 7] = 0
    spoiled[..., 5:9, 7] = NAN
    one = Draw(torch.full((1, 1), OPERATIONS[name].code), torch.zeros(1, 1), torch.ones(1, 1))
    result, expected = (mix(x, one, backend=backend) for x in (spoiled, black))
    expected[..., 5:9, 7] = NAN
    torch.testing.assert_close(result, expected, equal_nan=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_theta(backend):
    theta = torch.eye(2, 3).repeat(2, 1, 1)
    theta[0, 1, 2] = NAN
    images = torch.rand(2, 1, 5, 6)
    result = warp(images, theta, backend=backend)
    assert result[0].isnan().all() and torch.allclose(result[1], images[1], atol=FLOAT32)
    labels = warp((9 * images[:, 0]).long(), theta, "nearest", fill=255, backend=backend)
    assert (labels[0] == 255).all() and (labels[1] < 9).all()
