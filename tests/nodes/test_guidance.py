"""Guidance against diffusers' guiders, and what must hold of each method whatever the numbers."""

import pytest
import torch
from flowgen_nodes.guidance.apg import apg
from flowgen_nodes.guidance.cfg import cfg
from flowgen_nodes.guidance.cfg_zero import cfg_zero
from flowgen_nodes.guidance.compose import compose
from flowgen_nodes.guidance.perturbed import perturbed
from flowgen_nodes.guidance.rescale import rescale
from flowgen_nodes.guidance.tcfg import tcfg

from flowgen.errors import WiringError
from flowgen.node import Carry
from flowgen.values import Noisy, PerItem, Prediction, Time


def zero_star(cond, uncond, scale):
    """CFG-Zero* that leaves no step out."""
    return cfg_zero(cond, uncond, scale, items(0))


COUNT, SHAPE = 3, (4, 8, 3)  # the batch is as large as an axis, so that numbers that meet the wrong axis show
SCALES = [1.5, 4.0, 7.5]


def prediction(seed, kind="epsilon", alpha=0.8, index=5):
    """A random prediction of one noisy batch; the noisy batch is the same for all seeds."""
    generator = torch.Generator().manual_seed(99)
    numbers = torch.full((COUNT,), alpha, dtype=torch.float64)
    sigma = 1 - numbers if kind == "flow" else (1 - numbers**2).sqrt()
    time = Time(torch.full((COUNT,), index), torch.full((COUNT,), 500), sigma, numbers, torch.full((COUNT,), 0.5))
    x = Noisy(torch.randn(COUNT, *SHAPE, generator=generator), time)
    return Prediction(torch.randn(COUNT, *SHAPE, generator=torch.Generator().manual_seed(seed)), x, kind)


def items(*values):
    return PerItem(list(values) if len(values) > 1 else list(values) * COUNT)


def differ(mine, theirs):
    return float((mine.double() - theirs.double()).abs().max())


def of_each(function, cond, uncond, scales):
    """A guider of diffusers, which has one scale for a batch, item by item."""
    return torch.cat([function(cond[n : n + 1], uncond[n : n + 1], scale) for n, scale in enumerate(scales)])


@pytest.mark.parametrize("space", ["prediction", "x0"])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
def test_apg_is_that_of_diffusers_over_three_steps(kind, space):
    from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance

    buffers, average = [MomentumBuffer(-0.4) for _ in SCALES], None
    for step in range(3):
        cond, uncond = prediction(2 * step, kind), prediction(2 * step + 1, kind)
        made, average = apg(
            cond, Carry(average), uncond, items(*SCALES), items(0.3), items(-0.4), items(9.0), space=space
        )
        pair = (cond.x0(), uncond.x0()) if space == "x0" else (cond.data, uncond.data)
        rows = [slice(n, n + 1) for n in range(COUNT)]
        theirs = torch.cat(
            [
                normalized_guidance(pair[0][row], pair[1][row], scale - 1, buffer, 0.3, 9.0, True)
                for row, scale, buffer in zip(rows, SCALES, buffers, strict=True)
            ]
        )
        assert differ(made.x0() if space == "x0" else made.data, theirs) < 2e-5
        assert made.kind == kind


def test_neutral_apg_is_classifier_free_guidance():
    cond, uncond = prediction(0), prediction(1)
    made, _ = apg(cond, Carry(), uncond, items(*SCALES), items(1.0), items(0.0), items(0.0))
    assert differ(made.data, cfg(cond, uncond, items(*SCALES)).data) < 2e-5


def test_apg_without_the_parallel_part_adds_nothing_along_cond():
    cond, uncond = prediction(0), prediction(1)
    made, _ = apg(cond, Carry(), uncond, items(*SCALES), items(0.0), items(0.0), items(0.0), space="prediction")
    added = (made.data - cond.data).double()
    assert float((added * cond.data).flatten(1).sum(1).abs().max()) < 1e-3


def test_cfg_zero_is_that_of_diffusers():
    from diffusers.guiders.classifier_free_zero_star_guidance import cfg_zero_star_scale

    def theirs(cond, uncond, scale):
        best = uncond * cfg_zero_star_scale(cond.flatten(1), uncond.flatten(1)).reshape(-1, 1, 1, 1)
        return best + scale * (cond - best)

    cond, uncond = prediction(0, "flow"), prediction(1, "flow")
    made = cfg_zero(cond, uncond, items(*SCALES), items(1))
    assert differ(made.data, of_each(theirs, cond.data, uncond.data, SCALES)) < 1e-5


def test_cfg_zero_leaves_the_first_steps_out_for_each_item():
    cond, uncond = prediction(0, "flow", index=2), prediction(1, "flow", index=2)
    made = cfg_zero(cond, uncond, items(*SCALES), items(2, 3, 0))
    moved = [bool(row.any()) for row in made.data]
    assert moved == [True, False, True]


def test_tcfg_is_that_of_diffusers():
    from diffusers.guiders.tangential_classifier_free_guidance import normalized_guidance

    cond, uncond = prediction(0), prediction(1)
    made = tcfg(cond, uncond, items(*SCALES))
    assert differ(made.data, of_each(normalized_guidance, cond.data, uncond.data, SCALES)) < 2e-5


def test_tcfg_of_equal_predictions_is_that_prediction():
    cond = prediction(0)
    assert differ(tcfg(cond, cond, items(*SCALES)).data, cond.data) < 1e-5


def test_rescale_is_that_of_diffusers():
    from diffusers.guiders.guider_utils import rescale_noise_cfg

    cond, guided = prediction(0), prediction(1) * items(3.0, 5.0, 0.5)
    made = rescale(guided, cond, items(0.0, 0.5, 1.0))
    theirs = torch.cat(
        [rescale_noise_cfg(guided.data[n : n + 1], cond.data[n : n + 1], phi) for n, phi in enumerate([0.0, 0.5, 1.0])]
    )
    assert differ(made.data, theirs) < 1e-5


def test_rescale_with_phi_0_changes_nothing_and_a_flat_prediction_is_no_nan():
    cond, guided = prediction(0), prediction(1)
    assert rescale(guided, cond, items(0.0)).data is guided.data
    flat = guided.replace(data=torch.zeros_like(guided.data))
    assert torch.isfinite(rescale(flat, cond, items(0.7)).data).all()


def test_composition_of_one_condition_is_classifier_free_guidance():
    cond, uncond = prediction(0), prediction(1)
    made = compose([cond], uncond, PerItem([[scale] for scale in SCALES]))
    assert differ(made.data, cfg(cond, uncond, items(*SCALES)).data) < 1e-5


def test_composition_is_a_weighted_sum():
    a, b, uncond = prediction(0), prediction(1), prediction(2)
    made = compose([a, b], uncond, PerItem([[2.0, -1.0]] * COUNT), items(*SCALES))
    scales = torch.tensor(SCALES).reshape(-1, 1, 1, 1)
    assert differ(made.data, uncond.data + scales * (2 * (a.data - uncond.data) - (b.data - uncond.data))) < 1e-5


def test_composition_says_how_many_weights_it_wants():
    with pytest.raises(WiringError, match="2 conditions need as many weights, not 3"):
        compose([prediction(0), prediction(1)], prediction(2), PerItem([[1.0, 2.0, 3.0]] * COUNT))


def test_perturbed_guidance_adds_to_classifier_free_guidance():
    cond, broken, uncond = prediction(0), prediction(1), prediction(2)
    made = perturbed(cond, broken, uncond, items(*SCALES), items(3.0))
    both = cfg(cond, uncond, items(*SCALES)).data + 3 * (cond.data - broken.data)
    assert differ(made.data, both) < 1e-5
    assert differ(perturbed(cond, broken, None, items(1.0), items(3.0)).data, 4 * cond.data - 3 * broken.data) < 1e-5
    assert perturbed(cond, None, None, items(1.0), items(0.0)) is cond


@pytest.mark.parametrize("method", [cfg, tcfg, zero_star])
def test_without_uncond_only_scale_1_is_taken(method):
    cond = prediction(0)
    assert torch.equal(method(cond, None, items(1.0)).data, cond.data)
    with pytest.raises(WiringError, match="needs 'uncond'"):
        method(cond, None, items(2.0))


@pytest.mark.parametrize("method", [cfg, tcfg, zero_star])
def test_scale_1_is_the_conditional_prediction(method):
    cond, uncond = prediction(0), prediction(1)
    assert differ(method(cond, uncond, items(1.0)).data, cond.data) < 1e-6


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow", "sample"])
def test_a_prediction_of_x0_implies_it(kind):
    given = prediction(0, kind)
    assert differ(Prediction.of_x0(given.x0(), given.x, kind).data, given.data) < 1e-5


class Mixture(torch.nn.Module):
    """The exact classifier of noisy data from two Gaussians, N(-MEAN, 1/4) and N(MEAN, 1/4), equally likely."""

    def __init__(self, alpha):
        super().__init__()
        self.alpha = torch.nn.Parameter(torch.tensor(alpha, dtype=torch.float64))

    def forward(self, x, timestep):
        square = torch.stack([((x - self.alpha * mean) ** 2).flatten(1).sum(1) for mean in (-MEAN, MEAN)], 1)
        return -square / (2 * (self.alpha**2 / 4 + 1 - self.alpha**2))


MEAN = 0.4


def exact(x, alpha, means):
    """The best epsilon for data of these Gaussians (each 1/4 wide), which are equally likely; Bayes by hand."""
    variance = alpha**2 / 4 + 1 - alpha**2
    weights = torch.stack([-((x - alpha * m) ** 2).flatten(1).sum(1) / (2 * variance) for m in means], 1).softmax(1)
    each = [(1 - alpha**2) ** 0.5 * (x - alpha * m) / variance for m in means]
    return sum(w.reshape(-1, 1, 1, 1) * e for w, e in zip(weights.T, each, strict=True))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_classifier_makes_the_unconditional_prediction_conditional(kind):
    from flowgen_nodes.guidance.classifier import classifier

    from flowgen.values import Model, Part
    from flowgen.values.model import opening

    alpha, base = 0.6, prediction(0, alpha=0.6)
    x = base.x.replace(data=base.x.data.double())

    def of(epsilon):
        sigma = (1 - alpha**2) ** 0.5
        return Prediction.of_x0((x.data - sigma * epsilon) / alpha, x, kind)

    model = Model({"classifier": Part("classifier", "", "", "{}")}, "exact")
    with torch.no_grad(), opening(lambda part: Mixture(alpha)):
        made = classifier(of(exact(x.data, alpha, [-MEAN, MEAN])), model, items(0, 1, 1), items(1.0))
    wanted = torch.cat([exact(x.data[n : n + 1], alpha, [[-MEAN, MEAN][c]]) for n, c in enumerate([0, 1, 1])])
    assert differ(made.data, of(wanted).data) < 1e-9
