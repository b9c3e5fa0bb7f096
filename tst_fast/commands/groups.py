"""Groups of pairs whose results make one table, and what others have published on them.

Figures are test scores in %, of the last epoch or the best one, from HobbitLong/RepDistiller's README (CIFAR-100:
teacher, student, KD, CRD), megvii-research/mdistiller (DKD there), hunto/DIST_KD (DIST, Swin), the PCKA repository
(ImageNet), winycg/CIRKD (Cityscapes; the last row mmrazor). They differ by 0.2 to 1.5 between repositories for one
method and pair: only differences within one program and one recipe mean something.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        preset: of the pair.
        flags: that it is changed by.
        title: what it is called; None: as the preset.
        published: scores in %, by method; "teacher" and "student" are the networks alone.
    """

    preset: str
    flags: tuple[str, ...] = ()
    title: str | None = None
    published: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Also of its folder."""
        return self.title or self.preset


def _rows(header: str, *lines: str) -> tuple[Row, ...]:
    """Rows whose lines are a preset and its figures, "-" where there is none, under the methods of the header."""
    methods = header.split()
    rows = []
    for line in lines:
        preset, *figures = line.split()
        pairs = zip(methods, figures, strict=True)
        rows.append(Row(preset, published={name: float(figure) for name, figure in pairs if figure != "-"}))
    return tuple(rows)


CIFAR100 = _rows(
    "                       teacher student KD    CRD   DKD   DIST",
    "resnet56-resnet20         72.34 69.06 70.66 71.16 71.97 71.75",
    "resnet110-resnet20        74.31 69.06 70.67 71.46 -     -",
    "resnet110-resnet32        74.31 71.14 73.08 73.48 74.11 -",
    "resnet32x4-resnet8x4      79.42 72.50 73.33 75.51 76.32 76.31",
    "wrn_40_2-wrn_16_2         75.61 73.26 74.92 75.48 76.23 -",
    "wrn_40_2-wrn_40_1         75.61 71.98 73.54 74.14 74.81 74.43",
    "vgg13-vgg8                74.64 70.36 72.98 73.94 74.68 -",
    "vgg13-mobilenetv2         74.64 64.60 67.37 69.73 69.71 -",
    "resnet32x4-shufflenetv1   79.42 70.50 74.07 75.11 76.45 76.34",
    "wrn_40_2-shufflenetv1     75.61 70.50 74.83 76.05 76.70 -",
    "wrn_40_4-wrn_16_2         -     -     -     -     -     -",
    "wrn_28_10-wrn_16_2        -     -     -     -     -     -",
)
IMAGENET = _rows(
    "                   teacher student KD    CRD   DKD   DIST",
    "resnet34-resnet18     73.31 69.76 70.66 71.17 71.70 72.07",
    "resnet50-mobilenetv1  76.16 70.13 70.68 71.37 72.05 73.24",
    "swin_large-resnet50   86.3  78.5  80.0  -     -     80.2",
    "swin_large-swin_tiny  86.3  81.3  81.5  -     -     82.3",
    "convnext_base-resnet50 -    -     -     -     -     -",
)
CITYSCAPES = _rows(
    "                                    teacher student CWD   CIRKD DIST",
    "deeplabv3_resnet101-deeplabv3_resnet18 78.07 74.21 75.55 76.38 77.10",
    "deeplabv3_resnet101-pspnet_resnet18    78.07 72.55 -     74.73 76.31",
    "deeplabv3_resnet101-deeplabv3_mobilenetv2 78.07 -  -     -     -",
    "pspnet_resnet101-pspnet_resnet18       79.76 74.87 75.54 -     -",
)
COCO = (
    Row("fcos_resnet50-fcos_resnet18"),
    Row("fcos_resnet101-fcos_resnet50", published={"teacher": 40.8, "student": 38.5, "KD": 39.9}),
    Row("retinanet_resnet50_v2-retinanet_resnet18"),
    Row(
        "retinanet_resnext101-retinanet_resnet50",
        published={"teacher": 41.0, "student": 37.4, "KD": 37.2, "DIST": 39.8},
    ),
    Row("fasterrcnn_resnet50_v2-fasterrcnn_mobilenetv3"),
)


def _ablations(preset: str, setting: str, values: tuple[object, ...], title: str) -> tuple[Row, ...]:
    return tuple(Row(preset, (f"--{setting}={value}",), f"{title}-{value}") for value in values)


MAIN = "resnet32x4-resnet8x4"
ABLATIONS = (
    *_ablations(MAIN, "policy.operations_per_image", (1, 2, 4, 6, 8), "operations"),
    *_ablations(MAIN, "policy.prior", ("exact", "encoder"), "prior"),
    *_ablations(MAIN, "policy.search_epochs", (10, 20, 30, 40), "search-epochs"),
)

GROUPS: dict[str, tuple[Row, ...]] = {
    "cifar100": CIFAR100,
    "imagenet": IMAGENET,
    "cityscapes": CITYSCAPES,
    "coco": COCO,
    "ablations": ABLATIONS,
}
"""By name. `ablations` changes one number of one pair of CIFAR-100 at a time."""
