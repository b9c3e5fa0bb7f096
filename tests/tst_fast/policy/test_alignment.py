"""Encoders learn their operations, and what was aligned is kept and found again."""

import pytest
import torch
from accelerate import Accelerator

from tests.kernels.images import photographs
from tst_fast.errors import UserError
from tst_fast.policy import alignment
from tst_fast.policy.alignment import align, aligned_encoders
from tst_fast.policy.encoders import Encoders
from tst_fast.tasks.classification import Classification
from tst_kernels import apply, normalise
from tst_pipelines import digits
from tst_pipelines.datasets.cache import user_cache

OPERATIONS = "--policy.operations=[Rotate, Brightness, Invert]"


def _crops():
    """Real patches: uint8 [40, 32, 32, 3]."""
    torch.manual_seed(0)
    corners = [(int(torch.randint(64, ())), int(torch.randint(96, ()))) for _ in range(20)]
    return torch.cat([photographs()[:, y : y + 32, x : x + 32] for y, x in corners])


@pytest.mark.parametrize("name", ["ShearX", "Brightness", "Solarize"])
def test_alignment_lowers_the_error(name):
    torch.manual_seed(0)
    encoders, images = Encoders([name]), _crops()
    fit = align(encoders, images, steps=150, seed=0)[name]
    assert fit.levels[0] == (0 if name == "Solarize" else -1) and fit.levels[-1] == 1
    # What is reported is what is so, on the images held out.
    held_out = images[:8]
    for at in (0, -1):
        target = apply(held_out, name, fit.levels[at])
        original = normalise(held_out)
        result = encoders[name](original, torch.full((8,), fit.levels[at]))
        assert fit.encoder[at] == pytest.approx((result - target).square().mean().item(), rel=1e-5)
        assert fit.identity[at] == pytest.approx((original - target).square().mean().item(), rel=1e-5)
    assert sum(fit.encoder) < 0.75 * sum(fit.identity)


def test_an_encoder_that_is_not_aligned_does_nothing():
    images = normalise(_crops())
    for encoder in Encoders(["Rotate", "Posterize"]).values():
        torch.testing.assert_close(encoder(images, torch.linspace(0, 1, 40)), images, atol=1e-5, rtol=0)


@pytest.fixture
def aligned(tiny_config, tmp_path, monkeypatch):
    """A function from further flags to encoders and fits; its cache begins empty."""
    digits()
    data = digits()[0]
    monkeypatch.setenv("TST_FAST_CACHE", str(tmp_path))

    def run(*flags):
        config = tiny_config(OPERATIONS, "--policy.operations_per_image=2", "--policy.encoder_steps=3", *flags)
        accelerator = Accelerator(cpu=True)
        task = Classification(config, accelerator)
        return aligned_encoders(config, data, lambda: task.training_loader(data, 0), accelerator)

    return run


def _refuse(*arguments):
    raise AssertionError("aligned again")


def test_aligned_encoders_are_kept_and_frozen(aligned, monkeypatch):
    encoders, fits = aligned()
    assert list(fits) == ["Rotate", "Brightness"]
    assert not any(parameter.requires_grad for parameter in encoders.parameters())
    with monkeypatch.context() as patch:
        patch.setattr(alignment, "align", _refuse)
        again, fits_again = aligned()
        torch.testing.assert_close(again.state_dict(), encoders.state_dict(), atol=0, rtol=0)
        assert fits_again == fits
        for other in ("--seed=1", "--policy.encoder_steps=4", "--data.image_size=28"):
            with pytest.raises(AssertionError, match="aligned again"):
                aligned(other)


def test_another_number_of_processes_has_a_cache_of_its_own(tiny_config):
    """The first of several sees a part of the images."""
    files = {alignment._cache_file(tiny_config(), digits()[0], processes) for processes in (1, 2)}
    assert len(files) == 2


def test_a_corrupt_cache_is_made_anew(aligned):
    encoders, fits = aligned()
    (file,) = (user_cache() / "encoders").iterdir()
    whole = file.read_bytes()
    for content in (whole[:-20], b"", b"\xff" * 100, whole[:8] + whole[8:].replace(b"fits", b"stif")):
        file.write_bytes(content)
        again, fits_again = aligned()
        assert file.read_bytes() == whole
        torch.testing.assert_close(again.state_dict(), encoders.state_dict(), atol=0, rtol=0)
        assert fits_again == fits


def test_a_cache_that_cannot_be_written_is_named(aligned, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TST_FAST_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be kept in .*file/encoders .*set TST_FAST_CACHE"):
        aligned()
