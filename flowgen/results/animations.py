"""Pictures that move: gif, webp and apng by Pillow, mp4 by an ffmpeg where there is one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flowgen.errors import UserError

FORMATS = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}
HUNDREDTH = 10
"""milliseconds of a hundredth of a second, in which a gif counts"""
LOOKED_AT = 256
"""pixels of the longer side up to which small frames are enlarged"""


def write_animation(path: Path, kind: str, frames: Iterator[NDArray[np.uint8]], fps: float) -> None:
    """Frames [H, W, 3], one at least, at ``fps`` frames per second, for ever. Raises UserError where ffmpeg fails.

    Small ones are enlarged by a whole factor, pixels as squares, to 256 at most.
    """
    frames = map(enlarged, frames)
    if kind == ".mp4":
        encode(path, frames, fps)
        return
    first, *rest = (Image.fromarray(frame) for frame in frames)
    options: dict[str, Any] = {"quality": 90} if kind == ".webp" else {}
    times = durations(1 + len(rest), fps, HUNDREDTH if kind == ".gif" else 1)
    first.save(path, format=FORMATS[kind], save_all=True, append_images=rest, duration=times, loop=0, **options)


def durations(count: int, fps: float, unit: int) -> list[int]:
    """How long frames show, in whole units of milliseconds: each ends as near to its time as these allow."""
    ends = [round(n * 1000 / fps / unit) * unit for n in range(count + 1)]
    return [end - begin for begin, end in zip(ends, ends[1:], strict=False)]


def enlarged(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame that can be looked at."""
    factor = max(1, LOOKED_AT // max(frame.shape[:2]))
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def encode(path: Path, frames: Iterator[NDArray[np.uint8]], fps: float) -> None:
    """An mp4 of H.264, which every browser plays; sides are padded to even numbers, which it needs."""
    first = next(frames)
    height, width = first.shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
    target = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"]
    command = [ffmpeg(), "-y", "-loglevel", "error", *source, *target, str(path.resolve())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        try:
            process.stdin.write(first.tobytes())
            for frame in frames:
                process.stdin.write(frame.tobytes())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has stopped, and says why
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise UserError(f"ffmpeg failed: {said or process.returncode}", hint="gif, webp and apng need no ffmpeg")


def ffmpeg() -> str:
    """The program. Raises UserError without one."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg  # type: ignore[import-not-found]
    except ImportError:
        raise UserError("mp4 needs ffmpeg, which isn't found", hint="pip install imageio-ffmpeg") from None
    return str(imageio_ffmpeg.get_ffmpeg_exe())
