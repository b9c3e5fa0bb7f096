"""`tst-fast export`: what a run learned, for use without this program.

A policy becomes a transform of torchvision or DALI, in one file that needs nothing of ours: a template in
`tst_fast/policy/exports` is a program that works; what was learned replaces the lines between its marks. Operations are
those of `kernels`, whichever prior they were learned with. A student becomes an ONNX file, or a folder for Hugging
Face's Hub.
"""

import argparse
import errno
import importlib.resources
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tst_fast.config.imports import IMPORT
from tst_fast.config.ranges import SIDE
from tst_fast.errors import UserError, errors_as_messages, nearest, writing
from tst_fast.policy.file import LearnedOperation, PolicyFile, policy_file
from tst_kernels.operations import find_operation

TARGETS = {"torchvision": "torchvision_policy.py", "dali": "dali_policy.py"}
OPTIONS = {"policy": ("to",), "onnx": ("size",), "hub": ("repository", "private")}
"""What there is to export, and what else can be said of each."""
MARKED = re.compile(r"# learned: begin\n.*?# learned: end\n", re.DOTALL)
DIFFERENCES = {
    "torchvision": "what is passed together shares one draw: apply it to single images, before they are collated",
    "dali": "Equalize is OpenCV's, not PIL's; values are rounded to 8 bits after each operation; a sequence is applied "
    "in the order of the table",
}


def make_parser() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        "tst-fast export", description="Export what a run learned, for use without TST-Fast."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--policy", type=Path, metavar="RUN", help="the policy of a run's folder, or a policy.json")
    what.add_argument("--onnx", type=Path, metavar="RUN", help="a run's student, or a student.safetensors in its run")
    what.add_argument("--hub", type=Path, metavar="RUN", help="a run's student, as a folder for Hugging Face's Hub")
    parser.add_argument("--to", help=f"with --policy: target library, one of {', '.join(TARGETS)}")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="with --onnx: size of its input, if not that of the crops",
    )
    parser.add_argument("--repository", metavar="USER/NAME", help="with --hub: upload it to this repository")
    parser.add_argument("--private", action="store_true", help="with --repository: create it as private")
    parser.add_argument("--import", **IMPORT)
    parser.add_argument(
        "--output", type=Path, help="file or folder to write (default: policy_TO.py, student.onnx or hub, in RUN)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Write what is asked for, and say what one must know of it."""
    parser = make_parser()
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    kind = next(name for name in OPTIONS if getattr(given, name))
    for other, options in OPTIONS.items():
        for option in options if other != kind else ():
            if getattr(given, option):
                parser.error(f"--{option} is for --{other}")
    if given.private and not given.repository:
        parser.error("--private is for --repository")
    with errors_as_messages():
        {"policy": _export_policy, "onnx": _export_onnx, "hub": _export_hub}[kind](given)


def _export_policy(given: argparse.Namespace) -> None:
    if given.to is None:
        raise UserError(f"--to is missing: one of {', '.join(TARGETS)}")
    file = policy_file(given.policy, "--policy")
    program = export(PolicyFile.read(file), given.to)
    output = given.output or file.with_name(f"policy_{given.to}.py")
    with writing(output, "--output"):
        output.write_text(program, encoding="utf-8")
    print(f"{output}: {DIFFERENCES[given.to]}")


def _export_onnx(given: argparse.Namespace) -> None:
    output = given.output or _folder(given.onnx) / "student.onnx"
    if given.size and not all(side in SIDE for side in given.size):
        raise UserError(f"--size is {' '.join(map(str, given.size))}: height and width must be {SIDE}")
    with writing(output, "--output"):  # tried before the work
        if output.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder: name a file")
        tempfile.TemporaryFile(dir=output.parent).close()
    # What runs networks takes seconds to import, and a mistyped flag should not.
    from tst_fast.run.onnx_file import write_onnx
    from tst_fast.run.prediction import Predictor
    from tst_fast.run.start import start_accelerator

    student = Predictor(given.onnx, start_accelerator(), given.said)
    with writing(output, "--output"):
        names = write_onnx(student, output, given.size and tuple(given.size))
    print(f"{output}: images, RGB in 0..1, not normalised, to {', '.join(names)}")


def _export_hub(given: argparse.Namespace) -> None:
    from tst_fast.run.folder import require_room
    from tst_fast.run.model_card import require_access, upload, write_hub_folder
    from tst_fast.run.prediction import Predictor
    from tst_fast.run.start import start_accelerator

    output = given.output or _folder(given.hub) / "hub"
    require_room(output)
    if given.repository:
        require_access(given.repository)
    student = Predictor(given.hub, start_accelerator(), given.said)
    with writing(output, "--output"):
        write_hub_folder(_folder(given.hub), output, student)
    print(f"{output}: read README.md, the model card, before others do")
    if given.repository:
        print(f"uploaded to {upload(output, given.repository, given.private)}")


def _folder(run: Path) -> Path:
    return run if run.is_dir() else run.parent


def export(policy: PolicyFile, target: str) -> str:
    """The source of a program that holds the policy.

    Args:
        policy: what was learned.
        target: "torchvision" or "dali".

    Raises:
        UserError: an unknown target, or one that cannot move what lies in the images, as the policy does.
    """
    if target not in TARGETS:
        raise UserError(
            f"--to {target}: no such target{nearest(target, list(TARGETS))} Known are {', '.join(TARGETS)}."
        )
    if policy.composes_warps and target != "torchvision":
        raise UserError(
            f"this policy moves label maps or boxes with their images, which the program for {target} does not: give "
            "--to torchvision"
        )
    templates = importlib.resources.files("tst_fast.policy.exports")
    template = templates.joinpath(TARGETS[target]).read_text(encoding="utf-8")
    return MARKED.sub(lambda _: _learned(policy), template, count=1)


def _learned(policy: PolicyFile) -> str:
    """Assignments that hold the policy: only numbers and known names, for the program is going to be run.

    What else is in the file may be anyone's text. It becomes comments, as JSON in ASCII: each entry stays on its line.
    """
    origin = "\n".join(f"#   {json.dumps(key)}: {json.dumps(value)}" for key, value in policy.provenance.items())
    return (
        f"# learned with\n{origin}\n"
        f"COMPOSITION = {json.dumps(policy.composition)}\n"
        f"COMPOSES_WARPS = {bool(policy.composes_warps)!r}\n"
        f"OPERATIONS_PER_IMAGE = {int(policy.operations_per_image)!r}\n"
        f"TEMPERATURE = {float(policy.temperature)!r}\n"
        f"FILL = {tuple(map(float, policy.fill))!r}\n"
        f"OPERATIONS = (\n{''.join(map(_row, policy.operations))})\n"
    )


def _row(learned: LearnedOperation) -> str:
    operation = find_operation(learned.operation)
    probability = round(float(learned.probability), 6)
    if not operation.has_level:
        return f'    ("{operation.name}", {probability!r}, None, False),\n'
    assert learned.level is not None  # as `PolicyFile` demands of an operation that has one
    level, signed = round(float(learned.level), 6), bool(learned.signed)
    magnitude = f"{'±' if signed else ''}{operation.magnitude(level):.3g} {operation.unit}"
    return f'    ("{operation.name}", {probability!r}, {level!r}, {signed!r}),  # {magnitude}\n'
