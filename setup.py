"""Install TST-Fast: the packages `tst_pipelines` and `tst_fast`, and the command `tst-fast`.

The augmentation kernels are a project of their own, `tst-kernels`, in the folder `kernels`.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

VERSION = re.search(r'__version__ = "(.+)"', Path("tst_fast/__init__.py").read_text(encoding="utf-8"))[1]

SMP = "segmentation-models-pytorch>=0.6,<0.7"
COCO_EVAL = "faster-coco-eval>=1.8,<2"
EXAMPLES = ["pytorch-lightning>=2.6,<3", "nbclient>=0.10,<0.12", "nbformat>=5.10,<6", "ipykernel>=6.29,<8"]
ONNX = ["onnx>=1.23,<1.24", "onnxscript>=0.7,<0.8"]
SHTAB = "shtab>=1.7,<2"

setup(
    name="tst-fast",
    version=VERSION,
    description="Teaching What You Should Teach: data-based distillation at high throughput",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["tst_fast*"]) + find_packages("pipelines"),
    package_dir={"tst_pipelines": "pipelines/tst_pipelines"},
    package_data={"tst_fast": ["presets/**/*.yaml", "report/html/*.jinja", "py.typed"], "tst_pipelines": ["py.typed"]},
    install_requires=[
        f"tst-kernels=={VERSION}",
        "torch>=2.11,<2.16",
        "torchvision>=0.26,<0.30",
        "accelerate>=1.12,<2",
        "huggingface_hub>=1,<3",
        "jinja2>=3.1,<4",
        "jsonargparse[signatures]>=4.52,<5",
        "matplotlib>=3.9,<4",
        "numpy>=2.1,<3",
        "pillow>=11,<14",
        "plotly>=6.3,<7",
        "pyyaml>=6,<7",
        "rich>=13.9,<16",
        "safetensors>=0.5,<1",
        "scikit-learn>=1.5,<2",
        "scipy>=1.14,<2",
        "simplejpeg>=1.8,<2",
        "timm>=1.0.26,<1.1",
    ],
    extras_require={
        # DALI for the CUDA of the machine: both install into the same folder, so only one may be asked for.
        "cuda12": ["nvidia-dali-cuda120>=2.3,<3; sys_platform == 'linux'"],
        "cuda13": ["nvidia-dali-cuda130>=2.3,<3; sys_platform == 'linux'"],
        "test": [
            "pytest>=8.3,<10",
            "pytest-xdist>=3.6,<4",
            "hypothesis>=6.140,<7",
            "ruff>=0.17,<0.18",
            "pyright[nodejs]==1.1.414",
            "setuptools>=77,<85",
            "tensorboard>=2.18,<3",
            COCO_EVAL,
            "pycocotools>=2.0.10,<2.1",
            "torchdistill>=1.1.4,<1.2",
            "torchmetrics>=1.9,<2",
            "selenium>=4.30,<5",
            "kernels>=0.17,<0.18",  # Hugging Face's loader of kernels
            SMP,
            *EXAMPLES,
            *ONNX,
            SHTAB,
            "onnxruntime>=1.32,<1.33",
        ],
        "smp": [SMP],
        "detection": [COCO_EVAL],
        "onnx": ONNX,
        "completion": [SHTAB],
        "examples": EXAMPLES,
        "docs": ["sphinx>=8.1,<10", "myst-parser>=4,<6", "furo>=2024.8,<2027"],
        "benchmark": ["kornia>=0.9,<0.10", "triton-augment>=0.3,<0.4; sys_platform == 'linux'"],
    },
    entry_points={"console_scripts": ["tst-fast=tst_fast.cli:main"]},
)
