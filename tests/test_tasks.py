"""What docs/tasks.md shows: its commands' graphs exist, its own graphs are sound, its examples do what it says."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from PIL import Image as Pillow

from flowgen.experiment import load

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
TINY = {
    "DeepFloyd/IF-I-XL-v1.0": "if",
    "kandinsky-community/kandinsky-2-2-decoder-inpaint": "kandinsky-inpaint",
    "lambdalabs/sd-image-variations-diffusers, revision: v2.0": "sd1-variations",
    "kandinsky-community/kandinsky-2-2-prior": "kandinsky-prior",
    "kandinsky-community/kandinsky-2-2-decoder": "kandinsky",
    "stabilityai/stable-diffusion-x4-upscaler": "upscaler",
}
"""stand-ins for the models that the page's own graphs name"""


def run(name, folder, **where):
    """A part of an example, run in a folder."""
    return load(ROOT / "graphs" / name, where=where).run(folder / "store", folder / "runs").results.load()


def test_commands_and_pictures_exist():
    lines = [line.split("#")[0] for line in PAGE.splitlines() if line.startswith("    flowgen run ")]
    assert lines
    assert all((ROOT / shlex.split(line)[2]).is_file() for line in lines)
    assert all((ROOT / "docs" / name).is_file() for name in re.findall(r"\]\(((?!http)[^)#]+)", PAGE))


OWN = [
    text
    for section in ("Inpainting", "Variations", "Larger pictures")
    for text in re.findall(
        r"```yaml\n(.*?)```", PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0], flags=re.DOTALL
    )
]


@pytest.mark.parametrize("text", OWN, ids=["clean", "concat", "variations", "mixed", "upscaled"])
def test_graphs_of_the_page_are_sound(tmp_path, text):
    for name in ("photo", "mask", "hat"):
        Pillow.new("RGB", (40, 30)).save(tmp_path / f"{name}.png")
    for name, tiny in TINY.items():
        text = text.replace(f"from: {name}", f"from: {tiny_models.folder(tiny, tmp_path)}")
    assert text.count("from: /") == text.count("type: model")
    text = text.replace("128", "32").replace("512", "64")
    (tmp_path / "g.yaml").write_text(text)
    load(tmp_path / "g.yaml").check()


def test_both_ways_between_noises_have_the_same_ends(tmp_path):
    sheet = run("16_between_noises.yaml", tmp_path, at=[0, 1]).sheet
    assert np.allclose(sheet.sel(how="slerp"), sheet.sel(how="lerp"), atol=1e-4)
    assert len(list(tmp_path.glob("runs/*/walk *.gif"))) == 2


def test_an_inverted_picture_comes_back_under_its_own_prompt(tmp_path):
    results = run("18_inversion.yaml", tmp_path, seed=[5], prompt=["a red three", "a red eight"])
    off = ((results.image - results.photo) ** 2).mean(["channel", "y", "x"]) ** 0.5
    own, other = off.sel(prompt="a red three").item(), off.sel(prompt="a red eight").item()
    assert own < 0.15 < other
