"""Checkpoints as they are published: found, checked and loaded, or refused with what is wrong."""

import argparse
import fractions
import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tst_fast.errors import UserError
from tst_fast.models import ConvNet, build_model, load_weights


@pytest.fixture
def state():
    torch.manual_seed(1)
    return {name: torch.rand_like(value.float()).to(value.dtype) for name, value in _model().state_dict().items()}


def _model():
    return ConvNet(3, channels=[4, 8])


LAYOUTS = {
    "alone": lambda state: state,
    # What RepDistiller's training program writes at an epoch, for the best epoch, and at the end.
    "epoch": lambda state: {"epoch": 240, "model": state, "accuracy": torch.tensor(71.2), "optimizer": {"state": {}}},
    "best": lambda state: {"epoch": 198, "model": state, "best_acc": np.float64(72.3), "optimizer": {"state": {}}},
    "last": lambda state: {"opt": argparse.Namespace(model="resnet56", trial=np.int64(0)), "model": state},
    "state_dict": lambda state: {"state_dict": state, "arch": "resnet", "best_acc1": np.float32(1)},
    "net of DDP": lambda state: {"net": {f"module.{name}": value for name, value in state.items()}},
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "torch 0.4": lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
}


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layouts_load(tmp_path, state, layout, old_format):
    file = tmp_path / "ckpt_epoch_240.pth"
    torch.save(LAYOUTS[layout](state), file, _use_new_zipfile_serialization=not old_format)
    model = _model()
    load_weights(model, file, "teacher")
    for name, value in model.state_dict().items():
        expected = torch.zeros_like(value) if layout == "torch 0.4" and "num_batches" in name else state[name]
        assert torch.equal(value, expected), name


@pytest.mark.parametrize("name", ["resnet8x4", "wrn_16_2", "vgg8", "mobilenetv2_half", "shufflenetv1", "shufflenetv2"])
def test_a_network_comes_back_from_a_published_layout(tmp_path, name):
    before, after = build_model(name, 100, {}).eval(), build_model(name, 100, {}).eval()
    torch.save({"epoch": 240, "model": before.state_dict(), "best_acc": np.float64(0)}, tmp_path / "teacher.pth")
    load_weights(after, tmp_path / "teacher.pth", "teacher")
    images = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(after(images), before(images), atol=0, rtol=0)


def test_what_differs_is_listed(tmp_path, state):
    state["extra.weight"] = state.pop("features.1.bias")
    state["classifier.weight"] = torch.zeros(5, 8)
    torch.save({"model": state}, tmp_path / "other.pth")
    message = (
        r"another architecture .*1 missing \(features.1.bias\); 1 unexpected \(extra.weight\); "
        r"1 of another shape \(classifier.weight is \[5, 8\] in the file and \[3, 8\] in the model\)"
    )
    with pytest.raises(UserError, match=message):
        load_weights(_model(), tmp_path / "other.pth", "teacher")


def test_sha256_is_checked(tmp_path, state):
    file = tmp_path / "weights.safetensors"
    save_file(state, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    load_weights(_model(), file, "teacher", digest.upper())
    with pytest.raises(UserError, match=f"has SHA-256 {digest}, not --teacher.sha256 {digest[::-1]}"):
        load_weights(_model(), file, "teacher", digest[::-1])
    with pytest.raises(UserError, match=r"absent.pth cannot be read: no such file"):
        load_weights(_model(), tmp_path / "absent.pth", "teacher", digest)


def test_objects_that_run_code_are_refused(tmp_path, state):
    file = tmp_path / "objects.pth"
    for content in ({"model": state, "lr": fractions.Fraction(1, 3)}, _model()):
        torch.save(content, file)
        with pytest.raises(
            UserError, match=r"holds Python objects \(.*\), and .* ask where it comes from for its state"
        ):
            load_weights(_model(), file, "teacher")


def _recursive():
    content = {}
    content["model"] = content
    return content


ODD = {
    "nothing": (dict, "it holds nothing"),
    "a sparse tensor": (lambda: {"a": torch.eye(2).to_sparse()}, "a is a sparse or quantised tensor"),
    "a meta tensor": (lambda: {"a": torch.empty(2, device="meta")}, "a is a meta tensor"),
    "a complex tensor": (lambda: {"a": torch.zeros(2, dtype=torch.complex64)}, "a is complex"),
    "numbers for names": (lambda: {1: torch.zeros(2)}, "1 is a name of type int"),
    "itself": (_recursive, "it holds model"),
    "deep wrappers": (lambda: {"model": {"net": {"model": {"net": {"model": {"net": {}}}}}}}, "it holds model"),
    "a name with a line break": (lambda: {"a\nb": torch.eye(2).to_sparse()}, r"a\\nb is a sparse"),
    "long names": (lambda: {"x" * 10_000: 1}, "it holds x{300}$"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_content_is_refused_in_one_line(tmp_path, kind):
    make, message = ODD[kind]
    torch.save(make(), tmp_path / "odd.pth")
    with pytest.raises(UserError, match=message) as refused:
        load_weights(_model(), tmp_path / "odd.pth", "teacher")
    assert len(str(refused.value).splitlines()) == 1 and "weights_only" not in str(refused.value)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_cut_short_anywhere_is_refused_in_one_line(tmp_path, state, suffix):
    file = tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(state, file)
    whole = file.read_bytes()
    for length in range(0, len(whole), max(len(whole) // 40, 1)):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cannot be read: ") as refused:
            load_weights(_model(), file, "teacher")
        assert len(str(refused.value).splitlines()) == 1 and "weights_only" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": {"a": torch.zeros(1)}, "epoch": 3}, "under one of model, .* it holds weights, epoch"),
        ([torch.zeros(1)], "it holds list"),
        ({"model": {"a": 1.0}}, "it holds model"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=message):
        load_weights(_model(), tmp_path / "odd.pth", "student")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_damaged_file_is_refused(tmp_path, suffix):
    file = tmp_path / f"weights.{suffix}"
    file.write_text("not weights")
    with pytest.raises(UserError, match=rf"--teacher.checkpoint .*weights.{suffix} cannot be read"):
        load_weights(_model(), file, "teacher")
    with pytest.raises(UserError, match="there is no such file"):
        load_weights(_model(), tmp_path / f"absent.{suffix}", "teacher")
