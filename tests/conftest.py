"""What every test shares."""

import gc
import os

import hypothesis
import pytest
import torch

# Where there is no GPU, Triton's kernels run in its interpreter, which must be asked for before Triton is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("tst-fast", deadline=None)
hypothesis.settings.load_profile("tst-fast")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tests run side by side, on tensors too small to share out."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def _nothing_old_is_searched():
    """The end of every run collects garbage, a second each time if it looks through all that was ever imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _cache_of_their_own(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TST_FAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
