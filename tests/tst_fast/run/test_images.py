"""Networks get their images in the precision and the order of memory that they compute in, written once."""

import dataclasses

import pytest
import torch

from tst_fast.run.images import can_be_channels_last
from tst_kernels import normalise


def _batch_and_inputs(run, learner):
    """A batch, and the images that each network is given in one step on it: the student's, the teacher's."""
    batch, inputs = next(iter(run.session.training_loader)), []
    for network in (run.session.student, run.session.teacher):
        network.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    torch.manual_seed(5)
    run.learners.of(learner).step(batch)
    return batch, inputs


def test_in_float32_both_halves_have_the_bits_of_images_made_apart(tiny_config, make_run):
    run = make_run(tiny_config())
    batch, (student, teacher) = _batch_and_inputs(run, "student")
    assert student.data_ptr() == teacher.data_ptr()
    torch.manual_seed(5)
    with torch.no_grad():
        augmented = run.session.augmenter(batch.images).images
    plain = normalise(batch.images, run.config.data.mean, run.config.data.std)
    assert torch.equal(student, torch.cat([augmented, plain]))
    assert student.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("learner", ["student", "search"])
@pytest.mark.parametrize("channels_last", ["false", "true"])
def test_under_autocast_they_are_what_its_first_layers_would_cast_to(tiny_config, make_run, learner, channels_last):
    run = make_run(tiny_config(f"--channels_last={channels_last}"))
    seen = []
    for precise in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not precise):
            seen.append(_batch_and_inputs(run, learner)[1][0])
    exact, low = seen
    assert (exact.dtype, low.dtype) == (torch.float32, torch.bfloat16)
    layout = torch.channels_last if channels_last == "true" else torch.contiguous_format
    assert all(images.is_contiguous(memory_format=layout) for images in (exact, low))


def test_a_loss_of_low_precision_is_near_that_in_float32(tiny_config, make_run):
    run, losses = make_run(tiny_config("--channels_last=true")), []
    batch = next(iter(run.session.training_loader))
    for low in (False, True):
        torch.manual_seed(5)
        update = run.learners.student
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            losses.append(update.loss(update.model, batch)[0].item())
    assert losses[1] == pytest.approx(losses[0], rel=0.03) and losses[1] != losses[0]


def test_floating_images_give_the_same(tiny_config, make_run):
    """As mixup makes them."""
    run = make_run(tiny_config())
    batch = next(iter(run.session.training_loader))
    floating = dataclasses.replace(batch, images=batch.images.permute(0, 3, 1, 2) / 255)
    losses = []
    for given in (batch, floating):
        torch.manual_seed(5)
        losses.append(run.learners.student.loss(run.learners.student.model, given)[0].item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "can"), [(8, 1, 2, False), (16, 1, 2, True), (8, 1, 1, True), (8, 3, 2, True)]
)
def test_channels_last_where_its_gradients_do_not_end_the_process(channels, kernel, stride, can):
    network = torch.nn.Sequential(torch.nn.Conv2d(channels, 16, kernel, stride))
    assert can_be_channels_last(network, torch.device("cpu")) is can
    assert can_be_channels_last(network, torch.device("cuda"))
    if can:
        images = torch.rand(8, channels, 48, 48).to(memory_format=torch.channels_last).requires_grad_()
        network.to(memory_format=torch.channels_last)(images).sum().backward()
        assert images.grad.isfinite().all()
