"""Where the tests of the primitives run: on the CPU, and from tests/gpu once more on CUDA."""

from __future__ import annotations

import os

import pytest
import torch

DEVICE_VARIABLE = "STUDIO_TEST_DEVICE"


@pytest.fixture
def device() -> torch.device:
    return torch.device(os.environ.get(DEVICE_VARIABLE, "cpu"))
