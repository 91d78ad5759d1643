"""Sounds as wav files."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_sound(path: Path, sound: NDArray[Any], rate: int) -> None:
    """A sound [speakers, samples] in -1..1, clipped, as 16-bit PCM of ``rate`` samples per second."""
    whole = np.rint(np.clip(sound.astype(np.float64), -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(whole))
        file.setsampwidth(2)
        file.setframerate(int(rate))
        file.writeframes(np.ascontiguousarray(whole.T).tobytes())
