"""Samplers against the truth: for Gaussian data the exact denoiser is linear, and every sampler a linear map.

So means and variances are carried through a sampler's table without drawing anything, in float64, and must come to
the data's own, with an error that falls with the number of steps as the sampler's order says.
"""

import numpy as np
import pytest
from flowgen_nodes.schedulers.deis import deis_table
from flowgen_nodes.schedulers.dpm_2m import multistep_table
from flowgen_nodes.schedulers.dpm_2m_sde import sde_table
from flowgen_nodes.schedulers.dpm_2s import singlestep_table
from flowgen_nodes.schedulers.edm import churned, edm_table
from flowgen_nodes.schedulers.euler import euler_table
from flowgen_nodes.schedulers.euler_ancestral import ancestral_table
from flowgen_nodes.schedulers.grid import Grid
from flowgen_nodes.schedulers.grid_edm import edm_grid
from flowgen_nodes.schedulers.heun import heun_table
from flowgen_nodes.schedulers.lcm import distilled_grid, lcm_table
from flowgen_nodes.schedulers.lms import lms_table
from flowgen_nodes.schedulers.pndm import pndm_table
from flowgen_nodes.schedulers.unipc import unipc_table

from flowgen.values.model import canonical

MEAN, DEVIATION = 0.3, 0.5
TOP, BOTTOM = 5.0, 0.2
"""sigma / alpha at the ends"""


def grid(steps, space):
    """Places whose steps begin and end small, so that the low orders with which multistep methods begin don't show."""
    u = np.linspace(0, 1, steps + 1)
    ratio = TOP * (BOTTOM / TOP) ** (3 * u**2 - 2 * u**3)
    alpha = {"ve": np.ones_like(ratio), "vp": 1 / np.sqrt(1 + ratio**2), "flow": 1 / (1 + ratio)}[space]
    return Grid(ratio[:-1], alpha, ratio * alpha, 1.0, steps)


def error(table):
    """How far mean and deviation at the end are from the truth, if they are true at the beginning."""
    variance = table.alpha**2 * DEVIATION**2 + table.sigma**2
    size = table.maps.shape[1] + 1  # x, what is kept, 1
    mean, covariance = np.zeros(size), np.zeros((size, size))
    mean[0], mean[-1], covariance[0, 0] = table.alpha[0] * MEAN, 1.0, variance[0]
    for k, each in enumerate(table.maps):
        gain = table.alpha[k] * DEVIATION**2 / variance[k]
        seen = np.insert(np.eye(size), 1, 0.0, axis=0)  # rows: x, x0, kept, 1
        seen[1, 0], seen[1, -1] = gain, MEAN * (1 - gain * table.alpha[k])
        step = np.eye(size)
        step[:-1] = each @ seen[:-1]
        mean, covariance = step @ mean, step @ covariance @ step.T
        covariance[0, 0] += table.noise[k] ** 2
    return np.hypot(mean[0] - table.alpha[-1] * MEAN, np.sqrt(covariance[0, 0]) - np.sqrt(variance[-1]))


ORDERS = {
    "euler, ve": (1, lambda n: euler_table(grid(n, "ve"))),
    "euler, flow": (1, lambda n: euler_table(grid(n, "flow"))),
    "heun, ve": (2, lambda n: heun_table(grid(n, "ve"))),
    "heun, flow": (2, lambda n: heun_table(grid(n, "flow"))),
    "lms 2": (2, lambda n: lms_table(grid(n, "ve"), 2)),
    "lms 3": (3, lambda n: lms_table(grid(n, "ve"), 3)),
    "lms 4": (4, lambda n: lms_table(grid(n, "ve"), 4)),
    "lms 4, flow": (4, lambda n: lms_table(grid(n, "flow"), 4)),
    "dpm_2m, midpoint": (2, lambda n: multistep_table(grid(n, "vp"), 2, "midpoint", True, False)),
    "dpm_2m, heun": (2, lambda n: multistep_table(grid(n, "vp"), 2, "heun", True, False)),
    "dpm_3m": (2, lambda n: multistep_table(grid(n, "vp"), 3, "heun", True, False)),
    "dpm_3m, exact": (3, lambda n: multistep_table(grid(n, "vp"), 3, "heun", True, False, 1.0)),
    "dpm_3m, exact, flow": (3, lambda n: multistep_table(grid(n, "flow"), 3, "heun", True, False, 1.0)),
    "dpm_2s": (2, lambda n: singlestep_table(grid(n, "vp"), "midpoint", True)),
    "unipc 1": (2, lambda n: unipc_table(grid(n, "vp"), 1, "bh2", True, ())),
    "unipc 2": (4, lambda n: unipc_table(grid(n, "vp"), 2, "bh2", True, ())),
    "unipc 3": (4, lambda n: unipc_table(grid(n, "vp"), 3, "bh2", True, ())),
    "unipc 3, bh1": (4, lambda n: unipc_table(grid(n, "vp"), 3, "bh1", True, ())),
    "unipc 2, uncorrected": (2, lambda n: unipc_table(grid(n, "vp"), 2, "bh2", True, tuple(range(n)))),
    "deis 1": (1, lambda n: deis_table(grid(n, "vp"), 1, True)),
    "deis 2": (2, lambda n: deis_table(grid(n, "vp"), 2, True)),
    "deis 3": (3, lambda n: deis_table(grid(n, "vp"), 3, True)),
    "euler_ancestral": (1, lambda n: ancestral_table(grid(n, "ve"))),
    "dpm_2m_sde, midpoint": (2, lambda n: sde_table(grid(n, "vp"), "midpoint", True, False)),
    "dpm_2m_sde, heun": (2, lambda n: sde_table(grid(n, "vp"), "heun", True, False)),
    "edm, euler": (1, lambda n: edm_table(grid(n, "ve"), grid(n, "ve"), 1.0, False)),
    "edm, heun": (2, lambda n: edm_table(grid(n, "ve"), grid(n, "ve"), 1.0, True)),
}
"""The order of convergence and the table for a number of steps. UniPC's corrector adds one; with two predictions it
adds two for this denoiser."""


@pytest.mark.parametrize("sampler", ORDERS)
def test_converges_with_its_order(sampler):
    order, table = ORDERS[sampler]
    coarse, fine = error(table(128)), error(table(256))
    assert order - 0.25 < np.log2(coarse / fine) < order + 0.4


@pytest.mark.parametrize(("kind", "order"), [("epsilon", 1.5), ("v_prediction", 1)])
@pytest.mark.parametrize("skip", [True, False])
def test_pndm_converges(kind, order, skip):
    """Its steps are even in the timestep, so it has no grid of its own; the last step, to alpha-bar_0, is short."""
    about = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "skip_prk_steps": skip}
    coarse, fine = (error(pndm_table(canonical(about), steps, "leading", kind, 0)) for steps in (100, 200))
    assert order - 0.1 < np.log2(coarse / fine) < order + 0.25


@pytest.mark.parametrize(("halves", "bound"), [(True, 0.002), (False, 0.04)])
def test_churn_keeps_the_distribution(halves, bound):
    """Karras et al. 2022: what the extra noise adds is taken out again."""
    config = canonical({"sigma_data": 0.5, "sigma_max": 80.0})
    whole = edm_grid(config, 200, "zero")
    raised = churned(whole, config, 40.0, 0.05, 50.0)
    assert (raised.sigma[:-1] / whole.sigma[:-1]).max() == pytest.approx(1 + 40 / 200)
    table = edm_table(whole, raised, 1.0, halves)
    assert np.count_nonzero(table.noise) == np.count_nonzero((whole.sigma[1:-1] >= 0.05) & (whole.sigma[1:-1] <= 50))
    assert error(table) < bound * DEVIATION


def test_a_consistency_function_is_one_step():
    """LCM's boundary condition: at timestep 0 its function is x itself; far from it, the prediction."""
    config = canonical({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012})
    table = lcm_table(distilled_grid(config, 1, 50, None), 10.0)
    assert table.times.tolist() == [999]
    assert table.maps[0, 0] == pytest.approx([0.25 / (9990**2 + 0.25), 1], abs=1e-6)
