"""The notebook runs to its end, and is kept without what it prints."""

import re
from pathlib import Path

import pytest

from tests.tst_fast.processes import PACKAGES

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
# Of Jupyter's own: sockets and event loops that are closed late.
pytestmark = pytest.mark.filterwarnings("default")
FILE = Path(__file__).parents[2] / "examples/distil_digits.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(FILE, as_version=4)


def test_it_is_kept_without_outputs(notebook):
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)


def test_it_runs(notebook, monkeypatch):
    """Both networks know most digits, and both figures are drawn."""
    monkeypatch.setenv("PYTHONPATH", PACKAGES)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": "."}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    outputs = [output for output in outputs if output.output_type != "stream"]  # warnings of other libraries
    texts = " ".join(output.data.get("text/plain", "") for output in outputs)
    teacher, student = (float(share) for share in re.findall(r"([\d.]+) % of 1000 test images", texts))
    assert 90 < teacher <= 100 and 60 < student <= 100
    assert sum("image/png" in output.data for output in outputs) == 2
