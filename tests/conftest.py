"""Shared by all tests."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Test workers share few cores; more threads than cores make torch's own threads wait for each other."""
    torch.set_num_threads(1)
