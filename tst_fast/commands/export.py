"""`tst-fast export`: a learned policy as a transform of torchvision or DALI, in one file that needs nothing of ours.

A template in `tst_fast/policy/exports` is a program that works; what was learned replaces the lines between its marks.
Operations are those of `kernels`, whichever prior they were learned with.
"""

import argparse
import importlib.resources
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tst_fast.errors import UserError, nearest
from tst_fast.policy.file import LearnedOperation, PolicyFile
from tst_kernels.operations import find_operation

TARGETS = {"torchvision": "torchvision_policy.py", "dali": "dali_policy.py"}
MARKED = re.compile(r"# learned: begin\n.*?# learned: end\n", re.DOTALL)
DIFFERENCES = {
    "torchvision": "what is passed together shares one draw: apply it to single images, before they are collated",
    "dali": "Equalize is OpenCV's, not PIL's; values are rounded to 8 bits after each operation; a sequence is applied "
    "in the order of the table",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read a policy, write a program, and say what it does otherwise than the search did."""
    parser = argparse.ArgumentParser("tst-fast export", description="A learned policy for training without tst-fast.")
    parser.add_argument("--policy", type=Path, required=True, help="policy.json of a run")
    parser.add_argument("--to", required=True, help=f"one of {', '.join(TARGETS)}")
    parser.add_argument("--output", type=Path, help="the file to write; by default policy_TO.py beside the policy")
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        program = export(PolicyFile.read(given.policy), given.to)
    except UserError as error:
        sys.exit(f"error: {error}")
    output = given.output or given.policy.with_name(f"policy_{given.to}.py")
    try:
        output.write_text(program, encoding="utf-8")
    except OSError as error:
        sys.exit(f"error: --output {output} cannot be written: {error.strerror}")
    print(f"{output}: {DIFFERENCES[given.to]}")


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
