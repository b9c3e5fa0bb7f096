"""The base class of segmentation networks."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from tst_fast.models.segmentation.published import own_names

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's from Python 3.11


class SegmentationNetwork(nn.Module):
    """Images, floating [B, 3, H, W], normalised, to a `SegmentationOutput`.

    Attributes:
        stride: pixels from one cell of the logits to the next.
        multiple: what the sides of images must be a multiple of, so that cells and pixels lie over each other.
        auxiliary_name: of the submodule that is an auxiliary head; it may be None. Such a head gives logits of an
            earlier stage, to help training (Zhao et al., 2017, section 3.3).
    """

    stride: int
    auxiliary_name: ClassVar[str] = "auxiliary"

    @property
    def multiple(self) -> int:
        return self.stride

    @property
    def has_auxiliary(self) -> bool:
        """Whether there is an auxiliary head."""
        return getattr(self, self.auxiliary_name, None) is not None

    def without_auxiliary(self) -> Self:
        """The same network, sharing all weights, without its auxiliary head: what is evaluated and saved."""
        kept = copy.copy(self)
        kept._modules = {name: None if name == self.auxiliary_name else m for name, m in self._modules.items()}
        return kept

    def own_names(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A published state dict (see `published`) by this network's names; another is given back.

        If only one of the two has an auxiliary head, it is left out, of the state or of this network.
        """
        state, head = own_names(state), f"{self.auxiliary_name}."
        if not any(name.startswith(head) for name in state):
            setattr(self, self.auxiliary_name, None)
        if not self.has_auxiliary:
            state = {name: value for name, value in state.items() if not name.startswith(head)}
        return state
