"""The tables of README and docs/, one function each, generated from results/ alone."""

import itertools
import json
import textwrap
from collections.abc import Callable, Iterable, Sequence

from benchmarks.markdown import Result, table
from benchmarks.results import FOLDER, Row, cell
from benchmarks.training.arms import KD, KEPT, KORNIA, LOADED, SEARCH, STUDENT, TORCHVISION, WORKERS, Key
from tst_fast.commands.paired import paired_difference

LINK = "benchmarks/results"
GPU_PASSES = ("forward", "backward", "both")


def _read(name: str) -> Result:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _versions(result: Result, *names: str) -> str:
    return ", ".join(f"{name} {result['versions'][name]}" for name in names if name in result["versions"])


def _hardware(result: Result) -> str:
    threads = result["threads"]
    return result["gpu"] or f"{threads} core{'s' if threads > 1 else ''} of an {result['processor']}"


def _find(rows: Iterable[Row], **wanted: object) -> Row:
    return next((row for row in rows if wanted.items() <= row.items()), {})


def _rate(row: Row) -> str:
    """Images per second, or a dash where it was not measured."""
    return cell(row["images_per_second"]) if "images_per_second" in row else "-"


def kernels_block() -> str:
    """Throughput of the augmentation on a CPU relative to kornia; sizes but the main one: both passes together."""
    result = _read("kernels-cpu")
    rows = result["rows"]
    main, *others = dict.fromkeys(row["size"] for row in rows)
    columns = [(main, "forward"), (main, "both"), *((size, "both") for size in others)]

    def ratio(name: str, size: int, passes: str) -> str:
        row = _find(rows, name=name, size=size, **{"pass": passes})
        return f"{row['ratio_to_kornia']:.2f}" if row.get("ratio_to_kornia") else "-"

    names = dict.fromkeys(row["name"] for row in rows)
    title = {"forward": "forward", "both": "forward and backward"}
    body = ([name, *(ratio(name, *column) for column in columns)] for name in names)
    kornia = _find(rows, name="kornia", size=main, **{"pass": "both"})
    return _block(
        table(["throughput relative to kornia", *(f"{size} px, {title[passes]}" for size, passes in columns)], body),
        f"(`make bench`, {_hardware(result)}, {_versions(result, 'torch', 'kornia', 'torchvision')}; medians of",
        f"{result['rounds']} interleaved rounds. Eager kornia reaches {_rate(kornia)} images/s,",
        f"forward and backward, at {main} px. In the backward pass, torchvision provides gradients only for gates,",
        "and kornia none for Posterize and Solarize. A dash marks what was not measured.",
        f"[All rows]({LINK}/kernels-cpu.md).)",
    )


def loaders_block() -> str:
    """Throughput of the loaders relative to a DataLoader that yields the same kind of batch."""
    result = _read("loaders-cpu")
    loaders = ("DataLoader", "CachedLoader", "DaliLoader")
    rows = [row for row in result["rows"] if row["name"].startswith(loaders) and "ratio_to_baseline" in row]
    body = (
        [row["table"], row["name"], cell(row["images_per_second"]), f"{row['ratio_to_baseline']:.2f}"] for row in rows
    )
    bare = _find(result["rows"], name="DALI, bare loop")
    return _block(
        table(("", "loader", "images/s", "ratio"), body),
        f"(`make bench`, {_hardware(result)}, {rows[0]['threads']} threads or workers,",
        f"{_versions(result, 'torch', 'torchvision', 'nvidia-dali-cuda130')}; {result['photographs']};",
        f"{result['small_images']}; batch {rows[0]['batch']}, medians of {result['rounds']} interleaved rounds;",
        f"[all rows]({LINK}/loaders-cpu.md). On a CPU, DALI reads and decodes regions and torch resizes them;",
        f"a loop in which DALI also resizes reaches {_rate(bare)} images/s.)",
    )


def segmentation_block() -> str:
    """Segmentation on a CPU: augmentation of images with label maps, loading, and the cost of a search step."""
    result = _read("segmentation-cpu")
    rows = result["rows"]
    arms = [row for row in rows if row.get("pass") == "forward"]
    body = ([row["name"], _rate(row), f"{row['ratio_to_torchvision']:.2f}"] for row in arms)
    both = (_rate(_find(rows, name=name, **{"pass": "both"})) for name in ("ours", "ours, compiled"))
    dali, cached = (_find(rows, name=name) for name in ("DaliLoader", "CachedLoader"))
    equal = "equal" if dali["labels_equal_to_pillows"] and cached["labels_equal_to_pillows"] else "NOT equal"
    search = _find(rows, name="search step")
    return _block(
        table(("augmentation of 256 px images with label maps", "images/s, forward", "ratio"), body),
        f"(`make bench`, {_hardware(result)}, {_versions(result, 'torch', 'torchvision')}; medians of",
        f"{result['rounds']} interleaved rounds. With gradients of levels and gates, as in the search: ours",
        f"{' and compiled '.join(both)} images/s. Loading random 256 px crops of image and label map pairs",
        f"({result['pairs']}): {dali['cpu_ms_per_image']:.2f} ms of CPU time per pair with DALI,",
        f"{cached['cpu_ms_per_image']:.2f} ms cached; label maps {equal} to Pillow's. A search step takes",
        f"{search['ratio_to_student_step']:.2f} times as long as a student step.",
        f"[All rows]({LINK}/segmentation-cpu.md).)",
    )


def detection_block() -> str:
    """Detection on a CPU: loading, and the cost of training steps and of augmentation."""
    result = _read("detection-cpu")
    rows = result["rows"]
    labels = _find(rows, name="ours, labels only, backward")
    augmentation, search = (_find(rows, name=name) for name in ("augmentation with boxes", "search step"))
    loaders = [row for row in rows if "images_per_second" in row]
    body = ([row["name"], _rate(row), f"{row['cpu_ms_per_image']:.2f}"] for row in loaders)
    return _block(
        table(("loading of images with boxes, 512 x 640 px", "images/s", "CPU ms per image"), body),
        f"(`make bench`, {_hardware(result)},",
        f"{_versions(result, 'torch', 'torchvision', 'nvidia-dali-cuda130')}; {result['images']}; medians of",
        f"{result['rounds']} interleaved rounds. Forward, loss and backward on labels alone take",
        f"{labels['ratio_to_torchvision']:.2f} times as long as torchvision's own `model(images, targets)`;",
        f"augmentation with boxes is {100 * augmentation['ratio_to_student_step']:.0f} % of a student step, and a",
        f"search step takes {search['ratio_to_student_step']:.2f} times as long as a student step.",
        f"[All rows]({LINK}/detection-cpu.md).)",
    )


TRAINING_COLUMNS: dict[str, tuple[Key, Key]] = {
    "student step": ((STUDENT, KEPT), (KD, KEPT)),
    "with data loading": ((STUDENT, LOADED), (KD, LOADED)),
    "augmented by kornia": ((KORNIA, KEPT), (KD, KEPT)),
    "augmented by torchvision": ((TORCHVISION, WORKERS), (KD, KEPT)),
}
"""Column to the two rows whose images/s are divided."""


def training_block() -> str:
    """Throughput of training steps on a CPU, relative to plain KD on as many images."""
    result = _read("training-cpu")
    rows = result["rows"]

    def row(pair: str, key: Key) -> Row:
        return _find(rows, pair=pair, step=key[0], data=key[1])

    def ratio(pair: str, one: Key, other: Key) -> str:
        rate, baseline = (row(pair, key).get("images_per_second") for key in (one, other))
        return f"{rate / baseline:.2f}" if rate and baseline else "-"

    def line(pair: str) -> list[str]:
        student, search = row(pair, (STUDENT, KEPT)), row(pair, (SEARCH, KEPT))
        share = 100 * student.get("augmentation_ms", 0.0) / student["milliseconds"]
        compared = (ratio(pair, one, other) for one, other in TRAINING_COLUMNS.values())
        steps = search["milliseconds"] / student["milliseconds"]
        return [pair, _rate(row(pair, (KD, KEPT))), *compared, f"{share:.0f} %", f"{steps:.2f}"]

    pairs = dict.fromkeys(row["pair"] for row in rows)
    header = ["pair", "KD, images/s", *TRAINING_COLUMNS, "augmentation's share", "search step / student step"]
    return _block(
        table(header, map(line, pairs)),
        f"(`make bench`, {_hardware(result)}, {_versions(result, 'torch', 'torchvision', 'kornia')}; medians of",
        f"{result['rounds']} interleaved rounds. KD sees as many images as the student step, all of them plain. The",
        "next four columns are throughput relative to KD, with data loading to KD with data loading; kornia and",
        "torchvision run in the same loop. The share is of the time of a student step.",
        f"[All rows, stages, memory and lower bounds]({LINK}/training-cpu.md);",
        f"[chart]({LINK}/training-cpu.png).)",
    )


def scaling_block() -> str:
    """How the rates of a pair's steps change with one thing at a time."""
    result = _read("scaling-cpu")
    rows = [row for row in result["rows"] if "note" not in row]
    body = []
    for setting, times in itertools.groupby(rows, key=lambda row: row["setting"]):
        of = {row["step"]: row for row in times}
        share = f"{of[STUDENT]['ratio_to_kd']:.2f}"
        body.append([setting, *(f"{of[step]['images_per_second']:,.0f}" for step in (KD, STUDENT, SEARCH)), share])
    return _block(
        table(("", "KD, images/s", "student step, images/s", "search step, images/s", "student step / KD"), body),
        f"(`make bench`, {result['pair']}, {_hardware(result)}, {_versions(result, 'torch')}; medians of",
        f"{result['rounds']} rounds. Each row differs from the preset in one setting; the preset is repeated at the",
        f"end. [All rows]({LINK}/scaling-cpu.md).)",
    )


def bounds_block() -> str:
    """Upper bounds on the kernels' throughput on a GPU, from instructions and memory."""
    result = _read("bounds")
    row = _find(result["rows"], gpu="H200", images="packed")
    return _block(
        f"Counting the instructions of the machine code (Triton {result['versions']['triton']}), an H200 could process",
        f"at most {row['issue_bound'] / 1e6:.1f} million images/s of {row['size']} px from packed bytes with",
        f"{row['operations']} operations of average cost; L1 cache bandwidth would allow",
        f"{row['cache_bound'] / 1e6:.0f} million and memory bandwidth {row['memory_bound'] / 1e6:.0f} million.",
        f"These are [upper bounds]({LINK}/bounds.md), not measurements.",
    )


def gpu_block() -> str:
    """What `make bench-gpu` measured, if it has run."""
    if not (FOLDER / "gpu.json").exists():
        return "**Not yet measured on a GPU.** `make bench-gpu` runs these benchmarks on a machine that has one."
    result = _read("gpu")
    main = {"part": "kernels", "name": "mix"}  # the first such row is of the main configuration
    rates = (_rate(_find(result["rows"], **main, **{"pass": name})) for name in GPU_PASSES)
    goals = (row for row in result["rows"] if row["part"] == "goals")
    body = ([row["name"], row["goal"], cell(row["measured"]) or "-", cell(row["is_reached"])] for row in goals)
    return _block(
        table(("target", "", "measured", "reached"), body),
        f"(`make bench-gpu`, one {result['gpu']}, {_versions(result, 'torch', 'triton')}; from packed bytes of",
        f"{_find(result['rows'], **main)['size']} px to bfloat16, images/s of the passes {', '.join(GPU_PASSES)}:",
        f"{'; '.join(rates)}. [All rows]({LINK}/gpu.md).)",
    )


def differences_block() -> str:
    """The effect of learning the policy, of augmentation, and of both: differences by seed, with their intervals."""
    pairs = {
        "learned vs. untrained policy": ("TST", "KD, untrained policy"),
        "untrained policy vs. no augmentation": ("KD, untrained policy", "KD"),
        "TST vs. KD": ("TST", "KD"),
    }
    body = []
    for title, name in COMPARISONS.items():
        arms = _read(name)["arms"]
        runs = {arm: values["last"]["runs"] for arm, values in arms.items()}
        cells = (_difference(runs[one], runs[other]) for one, other in pairs.values())
        body.append([f"[{title}]({LINK}/{name}.md)", str(len(runs["TST"])), *cells])
    return table(("experiment", "seeds", *pairs), body)


def _difference(one: Sequence[float], other: Sequence[float]) -> str:
    found = paired_difference(one, other)
    low, high = (100 * value for value in found["interval"])
    return f"{100 * found['mean']:+.2f} ({low:+.2f} to {high:+.2f})"


def gates_block() -> str:
    """Agreement of the policies of different seeds, by gates and draws of the search."""
    result = _read("agreement-digits")
    body = ([row["gates"], f"per {row['draws'].split()[-1]}", f"{row['agreement']:.2f}"] for row in result["rows"])
    return table(("gates of the search", "draws", "mean correlation, four seeds"), body)


def hours_block() -> str:
    """Predicted training times of presets."""
    result = _read("hours")
    rows = [row for row in result["rows"] if row["part"] == "hours"]
    columns = ("data", "gpus", "batch", "hours", "images_per_second", "limit")
    body = [[cell(row[name]) for name in columns] + list(map(cell, row["student_step_ms"].values())) for row in rows]
    parts = (f"{name}, ms" for name in rows[0]["student_step_ms"])
    return table(("preset", "GPUs", "batch", "hours", "images/s", "bottleneck", *parts), body)


def constants_block() -> str:
    """Constants of that prediction, with their units."""
    result = _read("hours")
    kinds = {"data_sheet": "data sheet", "assumed": "assumption", "measured": "measured"}
    body = [
        [
            CONSTANTS.get(name, name.replace(": CPU ms an image", ": CPU ms per image")),
            " and ".join(map(_number, value if isinstance(value, list) else [value])),
            kind,
        ]
        for column, kind in kinds.items()
        for name, value in result[column].items()
    ]
    return table(("constant", "value", "source"), body)


def _number(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def checks_block() -> str:
    """The same arithmetic compared with measurements."""
    rows = [row for row in _read("hours")["rows"] if row["part"] == "checks"]
    body = ([row["name"], cell(row["predicted"]), cell(row["measured"]), row["error"]] for row in rows)
    return table(("", "predicted", "measured", "error"), body)


def _block(*parts: str) -> str:
    """A table as it is, if one comes first, then the sentences as one paragraph."""
    tables = [part for part in parts if part.startswith("| ")]
    sentences = " ".join(part for part in parts if not part.startswith("| "))
    paragraph = textwrap.fill(sentences, 120, break_long_words=False, break_on_hyphens=False)
    return "\n\n".join([*tables, paragraph])


COMPARISONS = {
    "digits": "compare-digits",
    "CIFAR-10, resnet56 → resnet20": "compare-cifar10",
    "CIFAR-10, resnet20 → convnet": "compare-cifar10-convnet",
    "CIFAR-10, 2,500 images, resnet20 → convnet": "compare-cifar10-2500",
    "CIFAR-10, 10,000 images, straight-through gates, one draw per image": "compare-cifar10-10000",
    "CIFAR-10, 500 images, resnet20 → convnet": "compare-cifar10-500",
    "CIFAR-10, 500 other images, 240 epochs instead of 60": "compare-cifar10-500-long",
    "CIFAR-10, 500 other images, straight-through gates, one draw per image": "compare-cifar10-500-straight-through",
    "same settings, 500 other images, student weight 2": "compare-cifar10-500-weight",
    "digits, 100 images": "compare-digits-budget",
    "segmentation, scenes": "compare-segmentation-scenes",
    "segmentation, CamVid": "compare-segmentation-camvid",
    "detection, scenes, FCOS → FCOS": "compare-detection-scenes",
}
"""Title to file."""

CONSTANTS = {
    "flops": "peak FLOP/s",
    "bandwidth": "memory bandwidth, bytes/s",
    "gpus_per_node": "GPUs per node",
    "cores_per_gpu": "CPU cores per GPU",
    "link": "interconnect, bytes/s, within and between nodes",
    "flops_share": "share of peak FLOP/s reached",
    "bandwidth_share": "share of memory bandwidth reached",
    "link_share": "share of interconnect bandwidth reached",
    "launch": "host time per operator, s",
    "augmentation_share": "share of the augmentation's upper bound reached",
}
"""Name in the file to that on the page, with its unit."""

BLOCKS: dict[str, Callable[[], str]] = {
    "kernels": kernels_block,
    "loaders": loaders_block,
    "training": training_block,
    "segmentation": segmentation_block,
    "detection": detection_block,
    "scaling": scaling_block,
    "bounds": bounds_block,
    "gpu": gpu_block,
    "differences": differences_block,
    "agreement": gates_block,
    "hours": hours_block,
    "hours-constants": constants_block,
    "hours-checks": checks_block,
}
