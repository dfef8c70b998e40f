"""Which accelerator this machine has, found out without paying for torch's import where it has none."""

from __future__ import annotations

from pathlib import Path

_DRIVER_NODES = ("/dev/nvidia0", "/dev/dxg")


def cuda_available() -> bool:
    """Whether torch can compute on an NVIDIA GPU here."""
    if not any(Path(node).exists() for node in _DRIVER_NODES):
        return False
    import torch  # slow to import, so only on a machine with a driver

    return torch.cuda.is_available()
