"""Names of operations that are known without importing `tst_kernels`, and so torch, for which `--help` would wait."""

PAPER_OPERATIONS = (
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "Equalize",
    "Invert",
    "Cutout",
)
"""The fourteen that the paper's policy chooses from: all of `tst_kernels.OPERATIONS` but AutoContrast."""
