"""A recording is encoded once, and goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from worldsim.data import encoding
from worldsim.data.encoding import encode_recording
from worldsim.data.recording import Recording
from worldsim.models.autoencoder import Autoencoder


def test_what_was_encoded_before_a_stop_is_not_encoded_again(
    recording: Recording, autoencoder: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode_recording(recording, autoencoder, tmp_path / "at once")
    monkeypatch.setattr(encoding, "BATCH", 50)
    monkeypatch.setattr(encoding, "PART", 100)
    frames, stops = 0, [230]
    encode = autoencoder.encode

    def stopping(pixels: Tensor) -> Tensor:
        nonlocal frames
        if stops and frames >= stops[0]:
            stops.clear()
            raise KeyboardInterrupt
        frames += len(pixels)
        return encode(pixels)

    monkeypatch.setattr(autoencoder, "encode", stopping)
    with pytest.raises(KeyboardInterrupt):
        encode_recording(recording, autoencoder, tmp_path / "stopped")
    latents = encode_recording(recording, autoencoder, tmp_path / "stopped")
    assert frames == len(recording) + 50  # but for the part that was begun
    torch.testing.assert_close(torch.from_numpy(np.array(latents)), torch.from_numpy(np.array(whole)))
    assert [path.suffix for path in (tmp_path / "stopped").iterdir()] == [".npy"]
    encode_recording(recording, autoencoder, tmp_path / "stopped")
    assert frames == len(recording) + 50
