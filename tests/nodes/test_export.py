"""The export of zoo:digits: the same weights give the same bytes; the reference pictures are what the card says."""

import torch
from flowgen_nodes.zoo.digits import export
from flowgen_nodes.zoo.digits.data import Handwriting


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_weights_same_bytes(zoo_folder, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        (tmp_path / "digits").mkdir()
        (tmp_path / "digits" / "stale.safetensors").touch()
        export.export(export.untrained(), tmp_path)
        export.write_statistics(tmp_path, (torch.rand(64, 3, 32, 32) * 2 - 1 for _ in range(4)))
    found = contents(tmp_path)
    assert found == contents(zoo_folder)
    assert sum(map(len, found.values())) < 8_000_000


def test_reference_pictures():
    """As many of each digit as the rarest has, in four inks on black."""
    labels = torch.tensor([0, 0, 0, *range(1, 10), *range(1, 10)])
    images = torch.zeros(len(labels), 28, 28, dtype=torch.uint8)
    images[:, 10:18, 10:18] = 255
    pictures = torch.cat(list(export.reference_pictures(Handwriting(images, labels), size=7)))
    assert pictures.shape == (10 * 2 * 4, 3, 32, 32)
    assert (pictures[:, :, 0, 0] < -0.8).all()
    red, green, blue, yellow = pictures[:, :, 15, 15].reshape(-1, 4, 3).mean(0)
    assert red.argmax() == 0
    assert green.argmax() == 1
    assert blue.argmax() == 2
    assert yellow[:2].min() > 0.5 > yellow[2]
