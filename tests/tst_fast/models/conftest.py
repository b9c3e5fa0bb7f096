"""Without published weights: neither internet nor what was downloaded before."""

import pytest


@pytest.fixture
def no_internet(monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("socket.create_connection", unreachable)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
