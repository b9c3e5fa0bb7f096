"""The alternation as a plan, a whole small run, and its continuation after a stop at any moment."""

import json

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from tst_fast.config.schema import replace
from tst_fast.errors import UserError
from tst_fast.models import ConvNet
from tst_fast.policy.file import PolicyFile
from tst_fast.run.evaluate import evaluate
from tst_fast.run.loop import Run
from tst_fast.run.plan import Pass, plan, policy_learns, rehearsal
from tst_fast.run.search import PolicySearch
from tst_fast.run.update import ModelUpdate

ROLES = ("teacher", "student")


class Stopped(Exception):
    """What stands for a kill."""


def _stop_after(monkeypatch, steps):
    """Raise in the middle of the run, after this many updates of anything."""
    left = [steps]

    def counted(step):
        def wrapped(self, batch):
            if not left[0]:
                raise Stopped
            left[0] -= 1
            return step(self, batch)

        return wrapped

    for updater in (ModelUpdate, PolicySearch):
        monkeypatch.setattr(updater, "step", counted(updater.step))


def _metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        for measured in ("images_per_second", "search_share"):
            line.pop(measured, None)
    return lines


def test_plan(tiny_config):
    config = tiny_config()
    teacher = [Pass("teacher", 0, 8), Pass("teacher", 1, 8, ends_teacher=True)]
    search = [Pass("search", 1, 8, opens_search=True), Pass("search", 1, 8)]
    student = [Pass("student", epoch, 8) for epoch in range(3)]
    assert plan(config, 8) == [*teacher, student[0], *search, *student[1:]]
    assert plan(replace(config, teacher__checkpoint="file"), 8) == [student[0], *search, *student[1:]]
    for unsearched in (
        {"distillation__augment": False},
        {"policy__search_at": []},
        {"policy__search": "none"},
        {"policy__search": "interleaved"},
    ):
        assert plan(replace(config, **unsearched), 8) == teacher + student
    assert plan(replace(config, distillation__teacher=False), 8) == student
    quarter = plan(replace(config, policy__search_fraction=0.25), 8)
    assert [one.steps for one in quarter if one.stage == "search"] == [2, 2]
    assert rehearsal(plan(config, 8)) == [
        Pass("teacher", 0, 2, ends_teacher=True),
        Pass("student", 0, 2),
        Pass("search", 1, 2, opens_search=True),
    ]


def test_interleaved_steps(tiny_config):
    config = tiny_config("--policy.search=interleaved", "--policy.search_every=5", "--policy.search_steps=2")
    assert [step for step in range(12) if policy_learns(config, step)] == [0, 1, 5, 6, 10, 11]
    for other in ({"policy__search": "listed"}, {"distillation__augment": False}, {"distillation__teacher": False}):
        assert not any(policy_learns(replace(config, **other), step) for step in range(12))


def test_a_run_leaves_what_it_promises(whole_run):
    folder, result = whole_run.folder, whole_run.result
    assert json.loads((folder / "result.json").read_text()) == result
    assert {"teacher_accuracy", "student_accuracy", "images_per_second", "wall_seconds"} <= set(result)
    assert round(result["student_accuracy"] * 1397, 6) % 1 == 0
    learned = [row["probability"] for row in json.loads((folder / "policy.json").read_text())["operations"]]
    assert len(learned) == 14
    assert any(abs(value - 0.5) > 1e-4 for value in learned)
    (gap,) = result["confidence_on_test_images"]
    assert gap["epoch"] == 1 and gap["trained"] != gap["untrained"]
    lines = _metrics(folder)
    assert {line["stage"] for line in lines} == {"teacher", "search", "student"}
    steps = [line for line in lines if line["stage"] in ("search", "student") and "step" in line]
    assert all(0 < line["teacher_confidence"] < 1 and 0 < line["student_confidence"] < 1 for line in steps)
    judged = [line["accuracy"] for line in lines if line["stage"] == "student" and "accuracy" in line]
    assert judged == whole_run.run.accuracies
    assert (folder / "policy.png").read_bytes().startswith(b"\x89PNG")
    student = ConvNet(10, channels=[4])
    student.load_state_dict(load_file(folder / "student.safetensors"))  # the student alone, and all of it
    torch.testing.assert_close(student.state_dict(), whole_run.run.student.state_dict(), atol=0, rtol=0)


# The listed run has 8 teacher, 8 search and 12 student steps: a stop in each stage, within and between checkpoints. The
# one with half epochs has 4 search steps, the interleaved one 8 among the student's 12.
STOPS = {"listed": [3, 8, 11, 15, 19, 27], "half epochs": [13, 15], "interleaved, and every option": [5, 11, 19, 26]}


@pytest.mark.parametrize(("schedule", "steps"), [(name, steps) for name in STOPS for steps in STOPS[name]])
def test_a_stopped_run_resumes_to_the_same_bits(whole_run_of, make_run, monkeypatch, schedule, steps):
    whole_run = whole_run_of(schedule)
    with monkeypatch.context() as patch:
        _stop_after(patch, steps)
        stopped = make_run(whole_run.config)
        with pytest.raises(Stopped):
            stopped.run()
        stopped.close()
    resumed = make_run(whole_run.config)
    resumed.resume()
    again = resumed.run()
    for name in ("student.safetensors", "teacher.safetensors", "policy.json"):
        assert (resumed.folder / name).read_bytes() == (whole_run.folder / name).read_bytes(), name
    assert _metrics(resumed.folder) == _metrics(whole_run.folder)
    for key in ("teacher_accuracy", "student_accuracy", "student_best_accuracy"):
        assert again[key] == whole_run.result[key]
    for stage in ("student", "search"):
        states = [run.updates[stage].state_dict() for run in (whole_run.run, resumed)]
        torch.testing.assert_close(states[0], states[1], atol=0, rtol=0)


@pytest.mark.parametrize(
    ("flags", "searched"),
    [
        ("--policy.search_fraction=0.5", 2 * 2),
        ("--policy.search=interleaved", 1),
        (("--policy.search=interleaved", "--policy.search_every=3", "--policy.search_steps=2"), 8),
        ("--policy.search=none", 0),
    ],
)
def test_the_student_sees_each_image_once_an_epoch(tiny_config, make_run, monkeypatch, flags, searched):
    seen = {"student": [], "search": []}
    run = make_run(tiny_config("--teacher_training.epochs=1", *([flags] if isinstance(flags, str) else flags)))
    for stage, indices in seen.items():
        step = run.updates[stage].step

        def recorded(batch, step=step, indices=indices):
            indices.append(batch.indices)
            return step(batch)

        monkeypatch.setattr(run.updates[stage], "step", recorded)
    result = run.run()
    assert len(seen["student"]) == 12
    for epoch in range(3):
        images = np.concatenate(seen["student"][4 * epoch : 4 * epoch + 4])
        assert sorted(images) == list(range(400))
    assert len(seen["search"]) == searched
    assert len(run.history) == 1 + {"interleaved": 3, "listed": 2, "none": 0}[run.config.policy.search]
    assert (result["search_share"] > 0) == (searched > 0)
    if searched == 8:  # on the batch that the student learns from next
        expected = [seen["student"][step] for step in range(12) if step % 3 < 2]
        assert all((own == its).all() for own, its in zip(seen["search"], expected, strict=True))


def test_evaluation_every_other_epoch(tiny_config, make_run):
    flags = ("--teacher_training.epochs=1", "--policy.search=none", "--student_training.epochs=3")
    run = make_run(tiny_config(*flags, "--evaluate_every=2"))
    run.run()
    lines = [line for line in _metrics(run.folder) if line["stage"] == "student" and "accuracy" in line]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert [line["accuracy"] for line in lines] == run.accuracies


def test_the_moving_average_is_what_is_judged_and_kept(whole_run_of):
    averaged = whole_run_of("interleaved, and every option")
    kept = load_file(averaged.folder / "student.safetensors")
    own, average = (averaged.run.updates["student"].state_dict()[name] for name in ("model", "average"))
    torch.testing.assert_close(kept, dict(average), atol=0, rtol=0)
    assert not torch.equal(kept["classifier.weight"], own["classifier.weight"])
    config = replace(
        averaged.config, **{f"{role}__checkpoint": averaged.folder / f"{role}.safetensors" for role in ROLES}
    )
    assert evaluate(config, Accelerator(cpu=True)) == {role: averaged.result[f"{role}_accuracy"] for role in ROLES}


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
    assert compiled == [run.student, run.teacher]
    assert run.teacher.features[4].weight.is_contiguous(memory_format=torch.channels_last)
    lines, plain = _metrics(run.folder), _metrics(whole_run.folder)
    pairs = [(mine["loss"], theirs["loss"]) for mine, theirs in zip(lines, plain, strict=False) if "loss" in mine]
    ours, expected = zip(*pairs[:12], strict=True)  # the teacher's epochs and the student's first
    assert ours == pytest.approx(expected, rel=1e-3)


def test_bf16_computes_in_bf16_and_keeps_float32(tiny_config, tmp_path):
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        config = tiny_config("--teacher_training.epochs=1", "--policy.search_at=[0]", "--student_training.epochs=1")
        run = Run(config, tmp_path / "run", accelerator, quiet=True)
        dtypes = {"student": set(), "teacher": set()}
        for role, found in dtypes.items():
            convolution = getattr(run, role).features[0]
            convolution.register_forward_hook(lambda *args, found=found: found.add(args[2].dtype))
        run.run()
        run.close()
        assert dtypes == {"student": {torch.bfloat16}, "teacher": {torch.bfloat16}}
        assert all(value.dtype == torch.float32 for value in run.student.parameters())
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def test_resume_refuses_other_data(tiny_config, make_run, monkeypatch):
    with monkeypatch.context() as patch:
        _stop_after(patch, 5)
        run = make_run(tiny_config())
        with pytest.raises(Stopped):
            run.run()
        run.close()
    with pytest.raises(ValueError, match="batch size 100, now 50"):
        make_run(tiny_config("--data.batch_size=50")).resume()


def test_a_run_of_two_processes_resumes_elastically_in_one(whole_run, make_run, monkeypatch):
    with monkeypatch.context() as patch:
        _stop_after(patch, 23)
        stopped = make_run(whole_run.config)
        with pytest.raises(Stopped):
            stopped.run()
        stopped.close()
    file = max((stopped.folder / "checkpoints").iterdir())
    state = torch.load(file, weights_only=True)
    state["loader"].update(world_size=2, batch_size=50)  # as two processes would have written it
    torch.save(state, file)
    with pytest.raises(ValueError, match=r"batch size 50, now 100; world size 2, now 1: .* elastically"):
        make_run(whole_run.config).resume()
    resumed = make_run(whole_run.config)
    resumed.resume(elastic=True)
    resumed.run()
    student = (resumed.folder / "student.safetensors").read_bytes()
    assert student == (whole_run.folder / "student.safetensors").read_bytes()


def test_nan_stops_the_run_with_step_and_images(tiny_config, make_run, monkeypatch):
    real = ModelUpdate.step

    def poisoned(self, batch):
        report = real(self, batch)
        return {**report, "loss": report["loss"] * float("nan")} if self.step_count == 3 else report

    monkeypatch.setattr(ModelUpdate, "step", poisoned)
    run = make_run(tiny_config())
    message = r"not finite at step 2 of teacher epoch 0, in the batch of .*png.* and 97 more images"
    with pytest.raises(UserError, match=message):
        run.run()


def test_a_learned_policy_starts_another_run(whole_run, tiny_config, make_run):
    another = make_run(tiny_config(f"--policy.init={whole_run.folder / 'policy.json'}"))
    for before, after in zip(whole_run.run.policy.learned(), another.policy.learned(), strict=True):
        assert after.probability == pytest.approx(before.probability, abs=1e-6)


def test_the_policy_says_where_it_comes_from(whole_run):
    policy = PolicyFile.read(whole_run.folder / "policy.json")
    assert policy.provenance["config"] == "digits"
    assert policy.provenance["data"]["fingerprint"] == whole_run.run.train_loader.dataset.fingerprint
    assert policy.provenance["teacher"] == {"name": "convnet", "accuracy": whole_run.result["teacher_accuracy"]}
    assert policy.provenance["student"]["accuracy"] == whole_run.result["student_accuracy"]
    assert policy.fill == list(whole_run.config.data.mean)
    before, *_, after = policy.history["Rotate"]["probability"]
    assert len(policy.history["Rotate"]["probability"]) == 3  # before, and after each of two passes
    assert (before, after) == (0.5, policy.operations[4].probability)


def test_another_prior_composition_and_sign(tiny_config, make_run, monkeypatch):
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
    with monkeypatch.context() as patch:
        _stop_after(patch, 10)
        stopped = make_run(config, "stopped")
        with pytest.raises(Stopped):
            stopped.run()
        stopped.close()
    resumed = make_run(config, "stopped")
    resumed.resume()
    resumed.run()
    for name in ("student.safetensors", "policy.json"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name


def test_the_kept_teacher_is_used_as_it_is(whole_run, tiny_config, make_run):
    file = whole_run.folder / "teacher.safetensors"
    another = make_run(tiny_config(f"--teacher.checkpoint={file}", "--student_training.epochs=2"))
    assert another.run()["teacher_accuracy"] == whole_run.result["teacher_accuracy"]
    assert all(not parameter.requires_grad for parameter in another.teacher.parameters())


def test_features_are_matched_by_a_connector_that_is_not_in_the_students_file(
    whole_run, tiny_config, make_run, monkeypatch
):
    """And a run that was stopped goes on with the connector that it had."""
    flags = ["--loss.features=[{student: features.3, teacher: features.7}]", "--policy.search_at=[]"]
    config = tiny_config(*flags, f"--teacher.checkpoint={whole_run.folder / 'teacher.safetensors'}")
    whole = make_run(config, "whole")
    (connector,) = whole.updates["student"].model.connectors
    before = connector.weight.clone()
    whole.run()
    assert not torch.equal(connector.weight, before)
    student = ConvNet(10, channels=[4])
    student.load_state_dict(load_file(whole.folder / "student.safetensors"))
    with monkeypatch.context() as patch:
        _stop_after(patch, 7)
        stopped = make_run(config)
        with pytest.raises(Stopped):
            stopped.run()
        stopped.close()
    resumed = make_run(config)
    resumed.resume()
    resumed.run()
    for name in ("weight", "bias"):
        again = getattr(resumed.updates["student"].model.connectors[0], name)
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
        students.append(run.student.classifier.weight)
    assert students[1].isfinite().all()
    assert not torch.equal(*students)


def test_arms_of_a_comparison_start_from_the_same_student(tiny_config, make_run):
    config = tiny_config()
    alone = make_run(replace(config, distillation__teacher=False), "alone").student
    taught = make_run(config, "taught").student
    torch.testing.assert_close(alone.state_dict(), taught.state_dict(), atol=0, rtol=0)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_teacher_of_another_architecture_is_refused(tiny_config, make_run, tmp_path, suffix):
    from safetensors.torch import save_file

    file = tmp_path / f"other{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(ConvNet(7, channels=[4, 8, 16]).state_dict(), file)
    with pytest.raises(UserError, match=r"another architecture .*6 unexpected .*of another shape \(classifier.weight"):
        make_run(tiny_config(f"--teacher.checkpoint={file}"))
