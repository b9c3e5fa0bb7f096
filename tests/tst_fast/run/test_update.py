"""Rates against torch's schedulers; optimizers, accumulation, clipping and averaging against closed forms."""

import sys

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from tst_fast.config.schema import OptimizerConfig, TrainingConfig
from tst_fast.errors import UserError
from tst_fast.models.features import WithFeatures
from tst_fast.run.optimizers import learning_rate, make_optimizer
from tst_fast.run.update import ModelUpdate
from tst_pipelines import Batch


def _rates(make_scheduler, steps, rate):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler = make_scheduler(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("steps", [40, 237])
def test_one_cycle(steps):
    config = OptimizerConfig(learning_rate=0.3, schedule="one_cycle")
    expected = _rates(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.3, total_steps=steps + 1, pct_start=0.25, cycle_momentum=False
        ),
        steps,
        0.3,
    )
    ours = [learning_rate(config, step, steps + 1, 10) for step in range(steps)]
    assert ours == pytest.approx(expected)


def test_multi_step():
    config = OptimizerConfig(learning_rate=0.2, schedule="multi_step", milestones=[3, 5])
    expected = _rates(lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5], 0.1), 7, 0.2)
    ours = [learning_rate(config, epoch * 10 + step, 70, 7) for epoch in range(7) for step in range(10)]
    assert ours == pytest.approx([rate for rate in expected for _ in range(10)])


def test_cosine_with_warm_up():
    config = OptimizerConfig(
        learning_rate=0.2, schedule="cosine", warmup_epochs=3, warmup_learning_rate=0.02, final_learning_rate=0.01
    )

    def warmed(optimizer):
        up = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=12)
        down = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40 - 12, eta_min=0.01)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [up, down], milestones=[12])

    assert [learning_rate(config, step, 40, 10) for step in range(40)] == pytest.approx(_rates(warmed, 40, 0.2))


@pytest.mark.parametrize(("power", "final"), [(0.9, 0.0), (2.0, 0.01)])
def test_poly_with_warm_up(power, final):
    """torch's falls to 0: between the two, the same share of the way."""
    config = OptimizerConfig(
        learning_rate=0.2,
        schedule="poly",
        power=power,
        final_learning_rate=final,
        warmup_epochs=1,
        warmup_learning_rate=0.02,
    )

    def down(optimizer):
        return torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=36, power=power)

    up = [0.02 + 0.18 * step / 4 for step in range(4)]
    expected = up + [final + (0.2 - final) / 0.2 * rate for rate in _rates(down, 36, 0.2)]
    assert [learning_rate(config, step, 40, 10) for step in range(40)] == pytest.approx(expected)


def test_multi_step_with_warm_up_and_a_factor():
    config = OptimizerConfig(
        learning_rate=0.2,
        schedule="multi_step",
        milestones=[4, 6],
        decay_factor=0.3,
        warmup_epochs=2,
        warmup_learning_rate=0.05,
    )

    def warmed(optimizer):  # every epoch has 5 steps
        up = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=10)
        down = torch.optim.lr_scheduler.MultiStepLR(optimizer, [20, 30], 0.3)
        return torch.optim.lr_scheduler.ChainedScheduler([up, down])

    assert [learning_rate(config, step, 40, 8) for step in range(40)] == pytest.approx(_rates(warmed, 40, 0.2))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_trainings_have_finite_rates(steps):
    rates = [learning_rate(OptimizerConfig(), step, steps, 1) for step in range(steps)]
    assert all(0 < rate <= 0.1 for rate in rates)


def test_lamb_without_apex_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "apex", None)
    with pytest.raises(UserError, match=r"needs NVIDIA apex, built from its source: .*github.com/NVIDIA/apex"):
        make_optimizer(torch.nn.Linear(2, 2), OptimizerConfig(name="lamb"))


def _one_step(config, parameter, gradient):
    """Where an optimizer takes a weight [2, 2] and a bias [2] that all have one value and one gradient."""
    model = nn.Linear(2, 2)
    for value in model.parameters():
        nn.init.constant_(value, parameter)
        value.grad = torch.full_like(value, gradient)
    make_optimizer(model, config).step()
    return model.weight[0, 0].item(), model.bias[0].item()


def test_first_steps_of_the_optimizers():
    plain = {"learning_rate": 0.1, "weight_decay": 0.0}
    assert _one_step(OptimizerConfig(**plain), 1.0, 0.5)[0] == pytest.approx(1 - 0.1 * (0.5 + 0.9 * 0.5))  # Nesterov's
    assert _one_step(OptimizerConfig(name="adamw", **plain), 1.0, 0.5)[0] == pytest.approx(1 - 0.1)
    decayed = OptimizerConfig(name="adamw", learning_rate=0.1, weight_decay=0.2)
    assert _one_step(decayed, 1.0, 0.5)[0] == pytest.approx(1 - 0.1 * 0.2 - 0.1)
    # TensorFlow's: the mean square starts at 1, and epsilon is under the root.
    rmsprop = OptimizerConfig(name="rmsprop", epsilon=0.01, **plain)
    assert _one_step(rmsprop, 1.0, 0.5)[0] == pytest.approx(1 - 0.1 * 0.5 / (0.9 + 0.1 * 0.25 + 0.01) ** 0.5)


def test_biases_can_be_exempt_from_weight_decay():
    config = OptimizerConfig(learning_rate=0.1, momentum=0.0, weight_decay=0.5)
    assert _one_step(config, 1.0, 0.0) == pytest.approx((0.95, 0.95))
    config.decay_norm_and_bias = False
    assert _one_step(config, 1.0, 0.0) == pytest.approx((0.95, 1.0))


def test_what_timm_exempts_is_exempt_within_another_network():
    small = {"img_size": 56, "embed_dim": 6, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "num_classes": 3}
    network = timm.create_model("swin_tiny_patch4_window7_224", **small)
    exempt = [value for name, value in network.named_parameters() if name.endswith("bias_table")]
    assert len(exempt) == 4
    for model in (network, WithFeatures(network, ["layers.0"])):
        groups = make_optimizer(model, OptimizerConfig(decay_norm_and_bias=False)).param_groups
        (kept,) = [group["params"] for group in groups if not group["weight_decay"]]
        assert {id(value) for value in exempt} <= {id(value) for value in kept}


def _cross_entropy(model, batch):
    logits = model(batch.images.flatten(1).float() / 255)
    return F.cross_entropy(logits, batch.labels), {"right": (logits.argmax(1) == batch.labels).float().mean()}


def _update(**settings):
    torch.manual_seed(3)
    optimizer = OptimizerConfig(learning_rate=0.5, momentum=0.0, weight_decay=0.0, schedule="multi_step")
    config = TrainingConfig(epochs=1, optimizer=optimizer, **settings)
    return ModelUpdate(nn.Linear(12, 3), config, _cross_entropy, 4, Accelerator(cpu=True))


def _batch(seed=0, images=10):
    numbers = np.random.default_rng(seed)
    pixels = torch.from_numpy(numbers.integers(0, 256, (images, 2, 2, 3), dtype=np.uint8))
    return Batch(pixels, torch.from_numpy(numbers.integers(0, 3, images)), np.arange(images))


@pytest.mark.parametrize("parts", [2, 3, 10, 99])
def test_parts_of_a_batch_make_the_step_of_the_whole(parts):
    whole, accumulated = _update(), _update(accumulate=parts)
    for seed in range(3):
        reports = whole.step(_batch(seed)), accumulated.step(_batch(seed))
        torch.testing.assert_close(*reports)
    torch.testing.assert_close(whole.evaluated.state_dict(), accumulated.evaluated.state_dict())


def test_the_gradient_norm_is_cut():
    moves = []
    for norm in (None, 1e-3):
        update = _update(clip_norm=norm)
        before = torch.cat([value.detach().flatten().clone() for value in update.evaluated.parameters()])
        update.step(_batch())
        moves.append(torch.cat([value.detach().flatten() for value in update.evaluated.parameters()]) - before)
    assert moves[1].norm().item() == pytest.approx(0.5 * 1e-3, rel=1e-3)
    torch.testing.assert_close(F.normalize(moves[0], dim=0), F.normalize(moves[1], dim=0), atol=1e-3, rtol=0)


def test_moving_average():
    plain, averaged = _update(), _update(ema_decay=0.75)
    expected = None
    for seed in range(4):
        plain.step(_batch(seed))
        averaged.step(_batch(seed))
        weight = plain.evaluated.weight.detach()
        expected = weight.clone() if expected is None else 0.75 * expected + 0.25 * weight  # the first is taken whole
    torch.testing.assert_close(averaged.evaluated.weight, expected)
    again = _update(ema_decay=0.75)
    again.load_state_dict(averaged.state_dict())
    torch.testing.assert_close(again.evaluated.state_dict(), averaged.evaluated.state_dict(), atol=0, rtol=0)
    torch.testing.assert_close(again.model.weight, plain.model.weight, atol=0, rtol=0)
