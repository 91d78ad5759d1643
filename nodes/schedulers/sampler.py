"""What every sampler shares, whatever its schedule: ports, beginning late or ending early, the time of x."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from flowgen.errors import WiringError
from flowgen.node import Feedback, Loop, Phase, Stretch, Uses
from flowgen.values import Latent, Model, Noise, Noisy, PerItem, Prediction, Time
from flowgen.values.per_item import over_items
from flowgen.values.random import is_abstract

from .by_step import ByStep
from .clipping import Bounds, Limit, bounds
from .inverted import Inversion, check_taken_up, ended
from .kinds import check_kind, expected
from .schedule import Array
from .state import DiffusionState, Emitted, Next, Sampled
from .trained import trained
from .way import Way, clock

STEPS = 50
"""where neither steps nor calls are given"""


class Sampler(Loop):
    """Base of the samplers of diffusion.

    steps: as the method counts them, 50 where nothing is said. calls: instead, so many calls of the denoiser; the most
    steps are taken that they are enough for.

    prediction_type, clip_sample, threshold: what the network predicts, to which number x0 is cut, and at which quantile
    of itself (dynamic thresholding); "model" is what the configuration of the model's scheduler says.

    start: noise, and the random stream that stochastic steps go on with.

    init: a latent to begin with. A clean one is made noisy, and the last int(steps * strength) steps are taken, as
    diffusers does (Meng et al. 2021, arXiv:2108.01073). A noisy one, that another sampler left with ``until``, is taken
    up ``after`` that fraction of the steps.

    until: the fraction of the steps after which the sampler ends, with a noisy latent.

    renoise: the prediction whose noise lies on x0 when the step begins. CFG++ (Chung et al. 2024, arXiv:2406.08070,
    eq. 8) guides ``prediction``, with scales up to 1, and takes the unconditional one here.

    replace: what takes the place of x after each step, made from ``next``, x at its new time.
    """

    start: Noise
    init: Latent | None
    prediction: Feedback[Prediction]
    renoise: Feedback[Prediction] | None
    replace: Feedback[Noisy] | None
    model: Annotated[Model, Uses("scheduler")]
    steps: PerItem[int | None] = None
    calls: PerItem[int | None] = None
    prediction_type: Literal["model", "epsilon", "v_prediction", "sample", "flow", "edm"] = "model"
    clip_sample: Limit = "model"
    threshold: Limit = "model"
    strength: PerItem[float] = 1.0
    after: PerItem[float | None] = None
    until: PerItem[float | None] = None

    phases: ClassVar[tuple[Phase, ...]] = (
        Phase("", ("x",), ("prediction", "renoise")),
        Phase("replace", ("next",), ("replace",)),
    )
    cuts: ClassVar[tuple[str, ...]] = ("strength", "after", "until")

    @cached_property
    def about(self) -> dict[str, Any]:
        """The configuration of the model's scheduler."""
        return self.model.config("scheduler")

    @cached_property
    def predicts(self) -> str:
        """The kind of prediction that is asked for."""
        return expected(self.prediction_type, self.about)

    @cached_property
    def bounds(self) -> Bounds:
        """The range of x0."""
        return bounds(self.clip_sample, self.threshold, self.limits())

    @cached_property
    def schedule(self) -> str:
        """What its timesteps mean: a denoiser of another training schedule refuses them."""
        return trained(self.model.part("scheduler").config)

    def counts(self) -> list[int]:
        """The steps of each item's whole schedule. Raises WiringError where both steps and calls are given."""
        found = []
        for steps, calls in zip(self.steps.values, self.calls.values, strict=True):
            if steps is not None and calls is not None:
                raise WiringError(
                    "steps and calls exclude each other", hint="calls are the denoiser's; leave one out", about="calls"
                )
            if calls is not None and (calls < 1 or self.steps_of(calls) < 1):
                hint = "a step takes several: give more, or say steps"
                raise WiringError(f"{calls} denoiser calls are too few for this sampler", hint=hint, about="calls")
            found.append(self.steps_of(calls) if calls is not None else STEPS if steps is None else steps)
        return found

    def steps_of(self, calls: int) -> int:
        """The most steps that so many denoiser calls are enough for."""
        return calls

    def ways(self, shape: tuple[int, ...]) -> list[Any]:
        """Each item's denoiser calls, found once for the items that the loop is set for. ``shape``: of the latents,
        without the item axis; empty while it isn't known.
        """
        if shape not in self.known:
            self.known[shape] = self.find_ways(shape)
        return self.known[shape]

    @cached_property
    def known(self) -> dict[tuple[int, ...], list[Any]]:
        """The items' ways by shape."""
        return {}

    def find_ways(self, shape: tuple[int, ...]) -> list[Any]:
        """Each item's ``Way``, of the sampler's own kind."""
        raise NotImplementedError  # pragma: no cover

    def by_step(self, numbers: Callable[[Any], Array], shape: tuple[int, ...]) -> ByStep:
        """The numbers of each item's way, ``numbers`` of it, for every step; put together once, as ``ways``."""
        if (numbers, shape) not in self.tables:
            self.tables[numbers, shape] = ByStep([numbers(way) for way in self.ways(shape)])
        return self.tables[numbers, shape]

    @cached_property
    def tables(self) -> dict[tuple[Callable[[Any], Array], tuple[int, ...]], ByStep]:
        """What ``by_step`` put together."""
        return {}

    def calls_of(self, first: int, last: int) -> int:
        """The denoiser calls of the steps from ``first`` to before ``last``; the schedule goes on after that."""
        return last - first

    def first(self, row: int, steps: int) -> int:
        """The step that an item begins with. Raises WiringError where none is left."""
        strength, after = self.strength.values[row], self.after.values[row]
        if not 0 < strength <= 1:
            hint = "the part of the steps that is taken: 0.3 changes init a little, 1 begins with noise alone"
            raise WiringError(f"strength must be above 0 and at most 1, not {strength}", hint=hint)
        if after is None:
            found = steps - int(steps * strength)
        elif strength == 1:
            found = round(steps * after)
        else:
            raise WiringError(
                "strength and after exclude each other",
                hint="strength is for a clean init, after for a noisy one",
                about="strength",
            )
        if found and not 0 < found < steps:
            if after is None:
                said, hint = f"strength {strength}", f"at least 1/{steps}, or more steps"
            else:
                said, hint = f"after {after}", "the fraction of the steps that the other sampler took, below 1"
            raise WiringError(f"{said} leaves none of {steps} steps to take", hint=hint)
        return found

    def stretch(self) -> list[Stretch]:
        """Which denoiser calls each item makes. Raises WiringError where it makes none."""
        found = []
        for row, (steps, way) in enumerate(zip(self.counts(), self.ways(()), strict=True)):
            first, until, whole = self.first(row, steps), self.until.values[row], len(way.times)
            last = steps if until is None else round(steps * until)
            if not first < last <= steps:
                said = f"until {until} leaves no step to take: of {steps}, the first is number {first}"
                raise WiringError(said, hint=f"at least {(first + 1) / steps:.3g}, 1 is the end")
            found.append(Stretch(first, whole if last == steps else self.calls_of(first, last), whole))
        return found

    def length(self) -> list[int]:
        """The number of denoiser calls of each item."""
        return [stretch.steps for stretch in self.stretch()]

    def continues(self, port: str, other: Loop, wired: frozenset[str]) -> None:
        """Noise that an inversion found is taken up where that ended. Raises WiringError."""
        if port == "start" and isinstance(other, Inversion) and self.after.values == [None]:
            (way,), (left,) = self.ways(()), other.ended()
            check_taken_up(left, way.alpha[0], way.sigma[0], "init" in wired)

    def begin(self) -> DiffusionState:
        """The first x. Raises WiringError where init doesn't go with strength and after."""
        ways = self.ways(tuple(self.start.data.shape[1:]))
        return DiffusionState(self.first_x(ways), self.start.stream, self.start.space)

    def first_x(self, ways: Sequence[Way]) -> Tensor:
        """The start noise as large as the first noise level asks for; init with that noise added, or as it was left."""
        noise, init = self.start.data, self.init
        if not is_abstract() and (init is None or not init.is_noisy):
            for left, way in zip(ended(self.start), ways, strict=False):
                check_taken_up(left, way.alpha[0], way.sigma[0], init is not None)
        late = any(after is not None for after in self.after.values)
        if init is None:
            if late or any(strength != 1 for strength in self.strength.values):
                name = "after" if late else "strength"
                hint = f"wire init: $NODE, a latent from encoder.vae or another sampler, or leave '{name}' out"
                raise WiringError(f"{name} says where to begin with 'init', and none is wired", hint=hint)
            if all(way.start == 1 for way in ways):
                return noise
            return over_items(numbers([way.start for way in ways]), noise) * noise
        if (init.space, init.data.shape) != (self.start.space, noise.shape):
            raise WiringError(
                f"init ({init.space}, {list(init.data.shape[1:])}) and start ({self.start.space}, "
                f"{list(noise.shape[1:])}) differ",
                hint="the noise takes width and height in pixels",
                about="init",
            )
        alpha = numbers([way.alpha[0] for way in ways])
        if init.is_noisy != late:
            said = "init is noisy" if init.is_noisy else "init is clean"
            raise WiringError(said, hint="after: takes up what a sampler left with until:, strength: a clean latent")
        if init.alpha is not None:
            return over_items(alpha.to(init.alpha.device) / init.alpha, noise) * init.data
        sigma = numbers([way.sigma[0] for way in ways])
        return over_items(alpha, noise) * init.data.to(noise) + over_items(sigma, noise) * noise

    def time(self, state: DiffusionState, at: list[int]) -> Time:
        """The time of x before its item's call of this number; at the end of the schedule x is clean."""
        shape = tuple(state.x.shape[1:])
        ahead, n = self.by_step(clock, shape).ahead(at, state.x.device)
        return Time.of(ahead, n, whole=self.ways(shape)[0].times.dtype.kind == "i")

    def emit(self, state: DiffusionState, i: PerItem[int]) -> Emitted:
        """x and its time."""
        return Emitted(Noisy(state.x, self.time(state, i.values), state.space, self.schedule))

    def emit_replace(self, state: DiffusionState, i: PerItem[int]) -> Next:
        """x after the step, at the time of the next."""
        return Next(Noisy(state.x, self.time(state, [k + 1 for k in i.values]), state.space, self.schedule))

    def advance_replace(self, state: DiffusionState, i: PerItem[int], replace: Noisy) -> DiffusionState:
        """Go on with another x."""
        return state.replace(x=replace.data)

    def finish(self, state: DiffusionState) -> Sampled:
        """The clean latent; with ``until`` a noisy one that knows its level."""
        if all(until is None for until in self.until.values):
            return Sampled(Latent(state.x, state.space))
        time = self.time(state, self.length())
        return Sampled(Latent(state.x, state.space, time.alpha, time.sigma))

    def clean(self, prediction: Prediction) -> Tensor:
        """x0 as predicted, kept in its range. Raises WiringError for a prediction of another kind."""
        check_kind(prediction, self.predicts)
        return self.bounds.cut(prediction.x0())

    def origin(self, state: DiffusionState, x0: Tensor, renoise: Prediction | None) -> Tensor:
        """The x from which a step sets out: the present one, or x0 under another prediction's noise."""
        if renoise is None:
            return state.x
        time = renoise.x.time
        return over_items(time.alpha, x0) * x0 + over_items(time.sigma, x0) * renoise.epsilon()

    def limits(self) -> Mapping[str, Any]:
        """What the configuration says of the range of x0."""
        raise NotImplementedError  # pragma: no cover


def check_eta(eta: float) -> None:
    """Raise WiringError for a share of fresh noise that no step can add.

    At 1 it has DDPM's posterior variance, which is at most the next level's own. Beyond, some step would add more noise
    than that level holds, and what is left of the predicted noise would be the root of a negative number.
    """
    if not 0 <= eta <= 1:
        hint = "the share of the noise that a step draws anew: 0 is deterministic, 1 draws all that can be"
        raise WiringError(f"eta must be 0 to 1, not {eta}", hint=hint)


def numbers(values: Sequence[float]) -> Tensor:
    """One number for each item, [B] float64."""
    return torch.tensor(values, dtype=torch.float64)
