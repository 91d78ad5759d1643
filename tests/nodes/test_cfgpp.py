"""CFG++: steps that set out from the guided x0 under the unconditional noise; against the paper's equation."""

import pytest
import torch
from driving import close, exact, made, noise, rescheduled
from flowgen_nodes.models.folder import read_model
from flowgen_nodes.schedulers.ddim import DDIM
from flowgen_nodes.schedulers.euler import Euler

from flowgen.values import PerItem, Prediction

STEPS, SCALE = 10, 0.6


@pytest.fixture
def arguments(zoo_folder):
    model = rescheduled(read_model(zoo_folder / "digits", "digits"), clip_sample=False)
    return {"model": model, "steps": PerItem([STEPS]), "renoise": None}


def predictions(x):
    """Two that differ: of the closed-form denoiser, and of it for data that lie elsewhere."""
    alpha, sigma = (n.reshape(-1, 1, 1, 1) for n in (x.time.alpha, x.time.sigma))
    uncond = exact(x.data.double(), alpha, sigma, "epsilon")
    return uncond + SCALE * (exact(x.data.double() - 0.5 * alpha, alpha, sigma, "epsilon") - uncond), uncond


@pytest.mark.parametrize("loop", [DDIM, Euler])
def test_a_step_is_that_of_the_paper(loop, arguments):
    start = noise([0], torch.float64)
    sampler = made(loop, start, [0], arguments)
    state = sampler.begin()
    reference = state.x
    for step in range(STEPS):
        i = PerItem([step])
        x = sampler.emit(state, i).x
        guided, uncond = predictions(x)
        state = sampler.advance(state, i, Prediction(guided, x, "epsilon"), Prediction(uncond, x, "epsilon"))
        # Chung et al. 2024, eq. 8: x0 from the guided noise, and the unconditional noise put back
        clean = (reference - x.time.sigma * guided) / x.time.alpha
        after = sampler.time(state, [step + 1])
        alpha, sigma = after.alpha, after.sigma
        if loop is DDIM and step == STEPS - 1:
            last = sampler.ways(())[0].alpha_bar_next[-1]  # the configuration's end isn't quite free of noise
            alpha, sigma = torch.tensor(last**0.5), torch.tensor((1 - last) ** 0.5)
        reference = alpha * clean + sigma * uncond
        assert close(state.x, reference, 1e-9)
