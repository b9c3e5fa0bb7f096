"""What the benchmarks' tests share."""

import pytest
import torch


@pytest.fixture
def threads_restored():
    """What a benchmark of loaders sets is as before afterwards."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
