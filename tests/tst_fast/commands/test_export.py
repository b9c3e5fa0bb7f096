"""Exported policies against the kernels: each operation, the whole transform for given choices, and what is refused."""

import dataclasses
import importlib.util
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from tests.kernels.images import photographs
from tests.kernels.tolerances import EIGHT_BIT, GREY
from tst_fast.cli import main
from tst_fast.commands.export import export
from tst_fast.config.data import DataConfig
from tst_fast.config.policy import PolicyConfig
from tst_fast.errors import UserError
from tst_fast.policy.augmenter import Augmenter
from tst_fast.policy.file import PolicyFile
from tst_fast.policy.policy import Policy
from tst_kernels import OPERATIONS, Draw, apply

FILL = [0.5, 0.3, 0.4]
NAMES = list(OPERATIONS)
CENTRE = (0.2, 0.63)


def _policy_file(composition="additive", operations=NAMES, levels=None):
    policy = Policy(operations, operations_per_image=4)
    with torch.no_grad():
        policy.magnitude_logits.copy_(torch.linspace(-1.5, 1.5, len(policy.magnitude_logits)))
        policy.probability_logits.copy_(torch.linspace(2, -2, len(operations)))
    return PolicyFile(policy.learned(), 4, True, composition, "random", 0.05, FILL, {}, {"seed": 3})


def _module(policy, target, tmp_path):
    file = tmp_path / f"{target}_{policy.composition}.py"
    file.write_text(export(policy, target))
    specification = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(specification)
    sys.modules[file.stem] = module  # DALI rereads the source of what it traces
    specification.loader.exec_module(module)
    return module


def _cases():
    for name, operation in OPERATIONS.items():
        levels = ((-0.8, 0.45) if operation.signed else (0.45, 0.8)) if operation.has_level else (None,)
        yield from ((name, level) for level in levels)


def _expected(name, level):
    centres = torch.tensor([CENTRE] * 2)
    return apply(photographs(), name, level, centres if name == "Cutout" else None)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return {
        (target, composition): _module(_policy_file(composition), target, folder)
        for target in ("torchvision", "dali")
        for composition in ("additive", "sequential")
    }


def _whole(module, draw, composition):
    """What the kernels make of a draw, in 0..1."""
    policy = PolicyConfig(composition=composition)
    data = DataConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    if "Cutout" in [NAMES[code] for code in draw.operations[0].tolist()]:
        data = DataConfig(mean=tuple(FILL), std=(1.0, 1.0, 1.0))
    result = Augmenter(None, policy, data).apply(photographs(), draw).images
    return result + torch.tensor(data.mean)[:, None, None]


@pytest.mark.parametrize(("name", "level"), list(_cases()))
def test_torchvision_operations_equal_the_kernels(exported, name, level, monkeypatch):
    module = exported["torchvision", "additive"]
    monkeypatch.setattr(module, "FILL", (0.5, 0.5, 0.5))  # that of `apply`, which knows no mean
    images = photographs().permute(0, 3, 1, 2) / 255
    result = module.apply(images, name, level or 0.0, CENTRE)
    tolerance = EIGHT_BIT + 1e-6 if name == "AutoContrast" else GREY
    torch.testing.assert_close(result, _expected(name, level), atol=tolerance, rtol=0)


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_torchvision_transform_equals_the_kernels(exported, composition):
    """For choices that the transform itself drew."""
    module = exported["torchvision", composition]
    transform = module.LearnedPolicy()
    images = photographs().permute(0, 3, 1, 2) / 255
    torch.manual_seed(1)
    for _ in range(6):
        choice = transform.make_params([])["choice"]
        codes = torch.tensor([NAMES.index(name) for name in choice.names], dtype=torch.int32)
        rows = [codes, torch.tensor(choice.levels), torch.tensor(choice.gates), torch.tensor(choice.centre)]
        draw = Draw(*(row.expand(2, -1) for row in rows))
        expected = _whole(module, draw, composition)
        result = transform.transform(images, {"choice": choice})
        # In a sequence a difference of rounding before Posterize, Solarize or Equalize may grow: few pixels do.
        close = (result - expected).abs() <= 4 * GREY + 2 * EIGHT_BIT * ("AutoContrast" in choice.names)
        assert close.float().mean() > (0.999 if composition == "additive" else 0.97), choice


def test_torchvision_draws_follow_the_policy(exported):
    module = exported["torchvision", "additive"]
    transform = module.LearnedPolicy()
    torch.manual_seed(0)
    choices = [transform.make_params([])["choice"] for _ in range(3000)]
    drawn = [(n, g, x) for c in choices for n, g, x in zip(c.names, c.gates, c.levels, strict=True)]
    for name, probability, level, signed in module.OPERATIONS:
        gates = torch.tensor([gate for other, gate, _ in drawn if other == name])
        assert abs(len(gates) - 3000 * 4 / len(NAMES)) < 5 * 28  # five standard deviations of a binomial variable
        assert abs((gates > 0.5).float().mean() - probability) < 5 * 0.5 / len(gates) ** 0.5
        levels = {value for other, _, value in drawn if other == name}
        assert levels == ({level, -level} if signed else {level or 0.0})
    assert all(len(set(choice.names)) == 4 for choice in choices)


def test_torchvision_transform_is_an_ordinary_one(exported):
    module = exported["torchvision", "additive"]
    image = photographs()[0].numpy()
    chain = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), module.LearnedPolicy()])
    torch.manual_seed(0)
    first, label = chain(image, 3)
    assert first.shape == (3, 96, 128) and first.dtype == torch.float32 and label == 3
    assert isinstance(first, tv_tensors.Image)
    torch.manual_seed(0)
    torch.testing.assert_close(chain(image), first, atol=0, rtol=0)
    torch.manual_seed(0)
    eight_bit = module.LearnedPolicy()(torch.from_numpy(image).permute(2, 0, 1))
    assert eight_bit.dtype == torch.uint8
    torch.testing.assert_close(
        eight_bit / 255, first.clamp(0, 1).as_subclass(torch.Tensor), atol=EIGHT_BIT / 2 + 1e-6, rtol=0
    )
    boxes = tv_tensors.BoundingBoxes([[0, 0, 5, 5]], format="XYXY", canvas_size=(96, 128))
    with pytest.raises(TypeError, match="not BoundingBoxes"):
        module.LearnedPolicy()(tv_tensors.Image(photographs()[0].permute(2, 0, 1)), boxes)


def _run_dali(function, *given, batch=2):
    """Outputs of a pipeline on the photographs; `given` are further inputs [batch, ...]."""
    from nvidia.dali import fn, pipeline_def

    images = photographs().numpy()[np.arange(batch) % 2]

    def feed(value):
        return lambda: list(value)

    @pipeline_def(batch_size=batch, num_threads=1, device_id=None, enable_conditionals=True, seed=5)
    def pipeline():
        source = fn.external_source(lambda: list(images), layout="HWC")
        return function(source, *(fn.external_source(feed(value)) for value in given))

    built = pipeline()
    built.build()
    (output,) = built.run()
    return torch.from_numpy(np.stack([np.asarray(output[i]) for i in range(batch)])).permute(0, 3, 1, 2) / 255


@pytest.mark.parametrize(("name", "level"), list(_cases()))
def test_dali_operations_equal_the_kernels(exported, name, level, monkeypatch):
    module = exported["dali", "additive"]
    monkeypatch.setattr(module, "FILL", (0.5, 0.5, 0.5))
    operation = module.make_augmentation(name, level, False)
    settings = {"magnitude_bin": None if level is None else 0, "num_magnitude_bins": 1}
    centre = np.array([CENTRE] * 2, np.float32)
    result = _run_dali(lambda images, at: operation(images, centre=at, **settings), centre)
    # Half an 8-bit value of rounding. OpenCV's table of Equalize differs from PIL's by up to ten.
    tolerance = (10 if name == "Equalize" else 0.6) * EIGHT_BIT + 1e-6
    torch.testing.assert_close(result.float(), _expected(name, level), atol=tolerance, rtol=0)


@pytest.mark.parametrize("composition", ["additive", "sequential"])
def test_dali_augmentation_equals_the_kernels(exported, composition):
    """For given choices; the operations are applied in the order of the table."""
    module = exported["dali", composition]
    rows = [("ShearX", 0.9, True), ("Contrast", 0.5, False), ("Invert", 1.0, False), ("Cutout", 0.7, False)]
    rows = [rows, [("TranslateY", 1.0, False), ("Sharpness", 1.0, True), ("Posterize", 0.4, False), rows[2]]]
    chosen, gates, negated = (np.zeros((2, len(NAMES)), kind) for kind in (np.int32, np.float32, np.int32))
    for image, row in enumerate(rows):
        for name, gate, flip in row:
            at = NAMES.index(name)
            chosen[image, at], gates[image, at], negated[image, at] = 1, gate, flip
    centre = np.array([CENTRE] * 2, np.float32)
    result = _run_dali(lambda images, *choice: module.augment(images, choice), chosen, gates, negated, centre)
    level = {name: value or 0.0 for name, _, value, _ in module.OPERATIONS}
    codes = torch.tensor([[NAMES.index(name) for name, _, _ in row] for row in rows], dtype=torch.int32)
    levels = torch.tensor([[-level[name] if flip else level[name] for name, _, flip in row] for row in rows])
    draw = Draw(codes, levels, torch.tensor([[g for _, g, _ in row] for row in rows]), torch.tensor(centre))
    assert all(first < second for row in codes.tolist() for first, second in pairwise(row))
    difference = (result - _whole(module, draw, composition)).abs()
    # Rounding of up to half a value an operation; in a sequence Posterize may fall to the other side of a step.
    assert (difference <= 2.5 * EIGHT_BIT).float().mean() > (0.9999 if composition == "additive" else 0.98)


def test_dali_draws_follow_the_policy(exported):
    """The mean over many images of one photograph is that of the torchvision export, and images differ."""
    result = _run_dali(lambda images: exported["dali", "additive"].augment(images), batch=400)[::2]
    transform = exported["torchvision", "additive"].LearnedPolicy()
    torch.manual_seed(0)
    image = photographs()[0].permute(2, 0, 1) / 255
    other = torch.stack([transform(image) for _ in range(200)])
    deviation = (result.var(0) + other.var(0)).mean().sqrt()
    assert (result.mean(0) - other.mean(0)).abs().mean() < 5 * deviation / 200**0.5
    assert deviation > 0.1


def test_dali_auto_augment_takes_the_policy(exported):
    from nvidia.dali.auto_aug import auto_augment

    module = exported["dali", "sequential"]
    assert len(module.POLICY.sub_policies) == 1365  # four of fifteen
    result = _run_dali(lambda images: auto_augment.apply_auto_augment(module.POLICY, images), batch=8)
    assert (result * 255 == (result * 255).round()).all()
    assert len({tuple(image.flatten()[:500].tolist()) for image in result}) > 2


def test_the_command_writes_a_program_that_needs_nothing_of_ours(tmp_path, capsys):
    _policy_file().write(tmp_path / "policy.json")
    for target in ("torchvision", "dali"):
        given = {"torchvision": tmp_path, "dali": tmp_path / "policy.json"}[target]  # a run's folder, or the file
        main(["export", "--policy", str(given), "--to", target])
        file = tmp_path / f"policy_{target}.py"
        assert str(file) in capsys.readouterr().out
        # In a folder of its own: nothing of the project can be imported.
        check = (
            f"import policy_{target}, sys; assert not {{'tst_kernels', 'tst_fast', 'tst_pipelines'}} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-W", "error", "-c", check], cwd=tmp_path, env={}, check=True)
        assert '#   "seed": 3\n' in file.read_text()


def test_refuses_what_it_cannot_export(tmp_path):
    with pytest.raises(UserError, match="--to torchvison: no such target; did you mean 'torchvision'"):
        export(_policy_file(), "torchvison")
    with pytest.raises(SystemExit, match=r"error: .*absent.json is not a readable policy.json"):
        main(["export", "--policy", str(tmp_path / "absent.json"), "--to", "dali"])


CODE = "0.05\nraise SystemExit('the text of a policy.json ran')  # "
LINE_ENDS = ["\n", "\r", "\f", "\v", "\x1c", "\x85", "\u2028", "\0\n", "\\\n", "'''\n", '"""\n']


@pytest.mark.parametrize("target", ["torchvision", "dali"])
def test_text_of_a_policy_never_becomes_code(target, tmp_path):
    """Nor would it if nothing were checked on reading."""
    text = "{0}raise SystemExit('ran'){0}# learned: end{0}"
    provenance = {text.format(end): {"a": [text.format(end)]} for end in LINE_ENDS}
    policy = dataclasses.replace(_policy_file(), provenance=provenance)
    rows = [dataclasses.replace(row, unit=CODE, magnitude=CODE) for row in policy.operations]
    module = _module(dataclasses.replace(policy, operations=rows), target, tmp_path)
    assert module.TEMPERATURE == 0.05
    assert [row[0] for row in module.OPERATIONS] == NAMES
    for changes in ({"temperature": CODE}, {"operations_per_image": CODE}, {"fill": [CODE] * 3}):
        with pytest.raises(ValueError, match="SystemExit"):
            export(dataclasses.replace(policy, **changes), target)
    for key in ("operation", "probability", "level"):
        with pytest.raises(ValueError, match="SystemExit"):
            export(dataclasses.replace(policy, operations=[dataclasses.replace(rows[0], **{key: CODE})]), target)
