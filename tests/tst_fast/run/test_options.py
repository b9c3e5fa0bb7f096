"""Whole runs that are configured otherwise: compiled, in bf16, with another prior, with features, with another loss."""

import json

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from torch import nn

from tests.tst_fast.events import events_of
from tst_fast.errors import UserError
from tst_fast.models import ConvNet, build_model
from tst_fast.policy.file import PolicyFile
from tst_fast.run.session import _with_synchronised_norms
from tst_fast.run.start import open_run


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # dynamo looks at it, and hides the warning
def test_compiled_networks_in_channels_last_learn_the_same(whole_run, tiny_config, make_run, monkeypatch):
    compile_module = torch.nn.Module.compile
    compiled = []

    def with_a_fast_backend(module):
        compiled.append(module)
        compile_module(module, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", with_a_fast_backend)
    run = make_run(tiny_config("--compile_networks=true", "--channels_last=true"))
    run.run()
    assert compiled == [run.session.student, run.session.teacher]
    assert run.session.teacher.features[4].weight.is_contiguous(memory_format=torch.channels_last)
    losses = [[event["means"]["loss"] for event in events_of(each.folder, "steps")] for each in (run, whole_run)]
    ours, expected = (values[:12] for values in losses)  # the teacher's epochs and the student's first
    assert ours == pytest.approx(expected, rel=1e-3)


def test_bf16_computes_in_bf16_and_keeps_float32(tiny_config, tmp_path):
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        config = tiny_config("--teacher_training.epochs=1", "--policy.search_at=[0]", "--student_training.epochs=1")
        run = open_run(config, tmp_path / "run", accelerator, quiet=True)
        dtypes = {"student": set(), "teacher": set()}
        for role, found in dtypes.items():
            convolution = getattr(run.session, role).features[0]
            convolution.register_forward_hook(lambda *args, found=found: found.add(args[2].dtype))
        run.run()
        run.close()
        assert dtypes == {"student": {torch.bfloat16}, "teacher": {torch.bfloat16}}
        assert all(value.dtype == torch.float32 for value in run.session.student.parameters())
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def test_another_prior_composition_and_sign(tiny_config, make_run, stop_run):
    """The run ends, says how well the encoders follow, and resumes to the same bits."""
    config = tiny_config(
        "--policy.prior=encoder",
        "--policy.composition=sequential",
        "--policy.sign=learned",
        "--policy.operations=[Rotate, Brightness, Solarize, Invert]",
        "--policy.operations_per_image=2",
        "--policy.encoder_steps=20",
        "--student_training.epochs=2",
        "--policy.search_epochs=1",
        "--teacher_training.epochs=1",
    )
    whole = make_run(config, "whole")
    whole.run()
    fits = json.loads((whole.folder / "encoders.json").read_text())
    assert len(fits) == 3 and len(fits["Rotate"]["encoder"]) == len(fits["Rotate"]["levels"]) == 9
    assert (whole.folder / "encoders.png").read_bytes().startswith(b"\x89PNG")
    policy = PolicyFile.read(whole.folder / "policy.json")
    assert (policy.sign, policy.composition, policy.provenance["prior"]) == ("learned", "sequential", "encoder")
    assert all(abs(row.probability - 0.5) > 1e-7 for row in policy.operations)
    assert sum(abs(row.level - 0.5) > 1e-7 for row in policy.operations if row.level is not None) == 3
    stop_run(config, 10, "stopped")
    resumed = make_run(config, "stopped")
    resumed.resume()
    resumed.run()
    for name in ("student.safetensors", "policy.json"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name


def test_features_are_matched_by_a_connector_that_is_not_in_the_students_file(
    whole_run, tiny_config, make_run, stop_run
):
    """And a run that was stopped goes on with the connector that it had."""
    flags = ["--loss.features=[{student: features.3, teacher: features.7}]", "--policy.search_at=[]"]
    config = tiny_config(*flags, f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}")
    whole = make_run(config, "whole")
    (connector,) = whole.learners.student.model.connectors
    before = connector.weight.clone()
    whole.run()
    assert not torch.equal(connector.weight, before)
    student = ConvNet(10, channels=[4])
    student.load_state_dict(load_file(whole.folder / "student.safetensors"))
    stop_run(config, 7)
    resumed = make_run(config)
    resumed.resume()
    resumed.run()
    for name in ("weight", "bias"):
        again = getattr(resumed.learners.student.model.connectors[0], name)
        assert torch.equal(again, getattr(connector, name))
    assert (resumed.folder / "student.safetensors").read_bytes() == (whole.folder / "student.safetensors").read_bytes()


@pytest.mark.parametrize("loss", ["dkd", "dist"])
def test_another_loss_changes_what_the_student_becomes(whole_run, tiny_config, make_run, loss):
    flags = ["--student_training.epochs=1", "--policy.search_at=[]"]
    flags += [f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}"]
    students = []
    for name in ("kd", loss):
        run = make_run(tiny_config(*flags, f"--loss.name={name}"), name)
        run.run()
        students.append(run.session.student.classifier.weight)
    assert students[1].isfinite().all()
    assert not torch.equal(*students)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_teacher_of_another_architecture_is_refused(tiny_config, make_run, tmp_path, suffix):
    file = tmp_path / f"other{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(ConvNet(7, channels=[4, 8, 16]).state_dict(), file)
    with pytest.raises(UserError, match=r"another architecture .*6 unexpected .*of another shape \(classifier.weight"):
        make_run(tiny_config(f"--teacher.checkpoint={file}"))


def test_batch_norm_over_processes_keeps_the_activations_in_timms_norms():
    network, images = build_model("timm/mobilenetv3_small_050", 10, {}).eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
        network = _with_synchronised_norms(network, torch.device("cuda"))
        torch.testing.assert_close(network(images), expected)
    assert any(isinstance(layer, nn.SyncBatchNorm) for layer in network.modules())


def test_batch_norm_over_processes_is_for_gpus(tiny_config, make_run, monkeypatch):
    """As torch has it; one process on a CPU has nothing to share."""
    config = tiny_config("--sync_batch_norm=true")
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in make_run(config).session.student.modules())
    on_gpu = _with_synchronised_norms(nn.Sequential(nn.BatchNorm2d(3)), torch.device("cuda"))
    assert isinstance(on_gpu[0], nn.SyncBatchNorm)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    with pytest.raises(UserError, match="--sync_batch_norm needs GPUs: give --sync_batch_norm false"):
        _with_synchronised_norms(nn.BatchNorm2d(3), torch.device("cpu"))
