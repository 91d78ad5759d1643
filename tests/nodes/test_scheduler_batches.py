"""Samplers in batches: items at different steps, taken up again from stored states, and as many calls as asked for."""

import json

import numpy as np
import pytest
import torch
from driving import DEVIATION, MEAN, SHAPE, close, gaussian, made, noise, run, sample
from flowgen_nodes.schedulers import (
    ddim,
    ddpm,
    deis,
    dpm_2m,
    dpm_2m_sde,
    dpm_2s,
    dpm_3m,
    edm,
    euler,
    euler_ancestral,
    heun,
    lcm,
    lms,
    pndm,
    tcd,
    unipc,
)

from flowgen.errors import WiringError
from flowgen.values import Model, Part, PerItem
from flowgen.values.model import canonical
from flowgen.values.record import rebuild

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "skip_prk_steps": True}
SAMPLERS = {
    "ddim": (ddim.DDIM, {"eta": 0.5}),
    "ddpm": (ddpm.DDPM, {}),
    "deis": (deis.DEIS, {"order": 3}),
    "dpm_2m": (dpm_2m.DPM2M, {}),
    "dpm_2m_sde": (dpm_2m_sde.DPM2MSDE, {}),
    "dpm_2s": (dpm_2s.DPM2S, {}),
    "dpm_3m": (dpm_3m.DPM3M, {}),
    "edm": (edm.EDM, {"churn": 3.0}),
    "euler": (euler.Euler, {"sigmas": "karras"}),
    "euler_ancestral": (euler_ancestral.EulerAncestral, {}),
    "heun": (heun.Heun, {"sigmas": "ays"}),
    "lcm": (lcm.LCM, {}),
    "lms": (lms.LMS, {}),
    "pndm": (pndm.PNDM, {}),
    "tcd": (tcd.TCD, {"eta": 0.5}),
    "unipc": (unipc.UniPC, {"order": 3}),
}
STEPS = [1, 6, 9, 20]
DELAYS = [4, 0, 2, 1]


def model(**changes):
    return Model({"scheduler": Part("scheduler", "", "", canonical({**CONFIG, **changes}))}, "tiny")


def arguments(options, steps, **changes):
    spread = {k: PerItem([v] * len(steps)) if isinstance(v, float) else v for k, v in options.items()}
    return {"model": model(**changes), "steps": PerItem(steps), **spread}


@pytest.fixture(params=SAMPLERS)
def sampler(request):
    return SAMPLERS[request.param]


def test_items_do_not_notice_their_batch(sampler):
    loop, options = sampler
    alone = [
        sample(loop, noise([n]), gaussian("epsilon"), **arguments(options, [steps])) for n, steps in enumerate(STEPS)
    ]
    whole = arguments(options, STEPS)
    lengths = made(loop, noise(range(4)), range(4), whole).length()
    assert torch.equal(run(loop, noise(range(4)), gaussian("epsilon"), DELAYS, lengths, whole), torch.cat(alone))


def test_a_stored_state_is_taken_up_again(sampler):
    loop, options = sampler
    denoise, given = gaussian("epsilon"), arguments(options, [9, 9])
    present = made(loop, noise([0, 1]), [0, 1], given)
    states = [present.begin()]
    for k in range(present.length()[0]):
        i = PerItem([k, k])
        states.append(present.advance(states[-1], i, denoise(present.emit(states[-1], i).x)))
    for begins in range(len(states)):
        state = states[begins]
        state = rebuild(type(state).__name__, state.tensors(), json.loads(json.dumps(state.metadata())))
        later = made(loop, noise([7, 8]), [0, 1], given)  # the start noise is of no account any more
        for k in range(begins, len(states) - 1):
            i = PerItem([k, k])
            state = later.advance(state, i, denoise(later.emit(state, i).x))
        assert torch.equal(later.finish(state).sample.data, present.finish(states[-1]).sample.data)


def test_calls_are_spent_as_far_as_they_go(sampler):
    loop, options = sampler
    shorter = {"heun": 1, "edm": 1, "pndm": 1}.get(loop.__name__.lower(), 0)
    for calls in (1, 2, 3, 8, 15, 40):
        given = {**arguments(options, [None]), "calls": PerItem([calls])}
        spent = made(loop, noise([0]), [0], given).length()[0]
        assert calls - shorter <= spent <= calls
        count = made(loop, noise([0]), [0], given).counts()[0]
        longer = made(loop, noise([0]), [0], arguments(options, [count + 1])).length()[0]
        assert longer > calls


def test_calls_and_steps_exclude_each_other(sampler):
    loop, options = sampler
    with pytest.raises(WiringError, match="steps and calls exclude each other"):
        made(loop, noise([0]), [0], {**arguments(options, [5]), "calls": PerItem([5])}).length()
    with pytest.raises(WiringError, match="0 denoiser calls are too few"):
        made(loop, noise([0]), [0], {**arguments(options, [None]), "calls": PerItem([0])}).length()


def test_pndm_with_its_runge_kutta_beginning_has_no_fewer_than_13_calls():
    given = {"model": model(skip_prk_steps=False), "steps": PerItem([None])}
    assert made(pndm.PNDM, noise([0]), [0], {**given, "calls": PerItem([25])}).length() == [25]
    with pytest.raises(WiringError, match="takes 4 steps or more, not 3"):
        made(pndm.PNDM, noise([0]), [0], {**given, "calls": PerItem([12])}).length()


@pytest.mark.parametrize("name", ["dpm_2m", "heun", "unipc", "deis", "lms", "dpm_3m", "dpm_2s", "edm"])
def test_comes_to_where_the_flow_leads(name):
    """The probability flow carries x along at a fixed number of deviations from the mean of the marginal."""
    loop, options = SAMPLERS[name]
    options = {**options, "sigmas": "karras"} | ({"churn": 0.0} if name == "edm" else {})
    given = {**arguments(options, [None]), "calls": PerItem([40])}
    table = made(loop, noise([0]), [0], given).ways(())[0]
    deviation = np.hypot(table.alpha * DEVIATION, table.sigma)
    first = table.start * noise([0]).data - table.alpha[0] * MEAN
    truth = table.alpha[-1] * MEAN + first * (deviation[-1] / deviation[0])
    assert close(sample(loop, noise([0]), gaussian("epsilon"), **given), truth, 0.02)


def test_align_your_steps_at_ten_steps_are_the_published_noise_levels():
    """Sabour et al. 2024; between them they are joined in the logarithm, so that every other one of 20 is one of 10."""
    ten, twenty = (
        made(euler.Euler, noise([0]), [0], arguments({"sigmas": "ays"}, [n])).ways(())[0].sigma for n in (10, 20)
    )
    assert ten.tolist() == pytest.approx([14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0])
    assert twenty[::2] == pytest.approx(ten)
    assert (twenty[1:-2:2] ** 2).tolist() == pytest.approx((ten[:-2] * ten[1:-1]).tolist())


FLOW, EDM = {"shift": 3.0}, {"sigma_data": 0.5}


def bare(about):
    return {"model": Model({"scheduler": Part("scheduler", "", "", canonical(about))}, "bare")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": PerItem([0])}, "steps must be 1 to 1000"),
        ({"spacing": "leading", "model": model(steps_offset=300)}, "leave the schedule"),
        ({"shift": 2.0}, "a model with a discrete schedule has no 'shift: 2.0'"),
        ({**bare(FLOW), "spacing": "leading"}, "flow matching has no spacing 'leading'"),
        ({**bare(FLOW), "final": "zero"}, "a model of flow matching has no 'final: zero'"),
        ({**bare(FLOW), "sigmas": "ays"}, "a model of flow matching has no 'sigmas: ays'"),
        ({**bare(FLOW), "steps": PerItem([0])}, "steps must be at least 1, not 0"),
        ({**bare(EDM), "sigmas": "karras"}, "a model with EDM's preconditioning has no 'sigmas: karras'"),
        ({**bare(EDM), "steps": PerItem([0])}, "steps must be at least 1, not 0"),
    ],
)
def test_what_a_schedule_cannot_have_is_refused(options, message):
    with pytest.raises(WiringError, match=message):
        made(euler.Euler, noise([0]), [0], {**arguments({}, [50]), **options}).length()


@pytest.mark.parametrize(
    ("loop", "options", "message"),
    [
        (ddim.DDIM, bare(FLOW), "needs a discrete training schedule, the model is one of flow matching"),
        (pndm.PNDM, bare(FLOW), "the model is one of flow matching"),
        (lcm.LCM, bare(EDM), "the model is one of EDM's preconditioning"),
        (edm.EDM, bare(FLOW), "the model is one of flow matching"),
        (edm.EDM, {"churn": PerItem([-1.0])}, "churn must be 0 or more"),
        (tcd.TCD, {"eta": PerItem([1.5])}, "eta must be 0 to 1"),
        (lcm.LCM, {"steps": PerItem([51])}, "steps must be 1 to 50, those that the model was distilled for"),
        (unipc.UniPC, {"model": model(predict_x0=False)}, "predicts x0"),
    ],
)
def test_what_a_sampler_cannot_do_is_refused(loop, options, message):
    with pytest.raises(WiringError, match=message):
        made(loop, noise([0]), [0], {**arguments({}, [10]), **options}).length()


@pytest.mark.parametrize("solver", ["heun", "euler"])
def test_edm_is_the_algorithm_of_the_paper(solver):
    """Karras et al. 2022, algorithm 2, in float64; S_churn / N is 0.3, and the last two levels get no noise."""
    steps, low, data = 10, 0.05, 0.5
    told = Model({"scheduler": Part("scheduler", "", "", canonical({"sigma_data": data}))}, "edm")
    ramp = np.linspace(0, 1, steps)
    sigmas = [*(80 ** (1 / 7) + ramp * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7, 0.0]
    raised = [s * 1.3 if s >= low else s for s in sigmas]

    def denoised(x, sigma):
        return x + sigma**2 * (data * MEAN - x) / ((data * DEVIATION) ** 2 + sigma**2)

    generator = torch.Generator().manual_seed(3)
    first = float(np.hypot(np.hypot(80, 1), np.sqrt(raised[0] ** 2 - sigmas[0] ** 2)))  # diffusers' start, and churn
    x = torch.randn(SHAPE, generator=generator).double() * first
    for n in range(steps):
        slope = (x - denoised(x, raised[n])) / raised[n]
        after = x + (sigmas[n + 1] - raised[n]) * slope
        if solver == "heun" and sigmas[n + 1]:
            other = (after - denoised(after, sigmas[n + 1])) / sigmas[n + 1]
            after = x + (sigmas[n + 1] - raised[n]) * (slope + other) / 2
        x = after
        if raised[n + 1] > sigmas[n + 1]:
            fresh = torch.randn(SHAPE, generator=generator).double()
            x = x + np.sqrt(raised[n + 1] ** 2 - sigmas[n + 1] ** 2) * fresh
    given = {"model": told, "steps": PerItem([steps]), "churn": PerItem([3.0]), "churn_min": low, "solver": solver}
    found = sample(edm.EDM, noise([3], torch.float64), gaussian("epsilon"), prediction_type="epsilon", **given)
    assert close(found, x[None], 1e-10)
