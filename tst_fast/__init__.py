"""TST: a policy learns which augmentation a teacher masters and its student does not, and the student learns from it.

The method of "Teaching What You Should Teach: A Data-Based Distillation Method" (Shao et al., IJCAI 2023).
`TST` is it for a loop of one's own.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tst_fast.tst import TST

__version__ = "0.1.0"
__all__ = ["TST"]


def __getattr__(name: str) -> Any:
    """`TST`, only when it is asked for: it imports torch, for which `tst-fast --help` should not wait."""
    if name != "TST":
        raise AttributeError(f"module 'tst_fast' has no attribute {name!r}")
    from tst_fast.tst import TST

    return TST
