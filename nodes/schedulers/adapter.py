"""The node ``scheduler.diffusers``."""

from __future__ import annotations

import copy
import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from flowgen.errors import WiringError, did_you_mean
from flowgen.node import Feedback, Loop, Uses, node
from flowgen.values import Latent, Model, Noise, Noisy, PerItem, Prediction, Time
from flowgen.values.model import canonical
from flowgen.values.random import is_abstract

from .captured import Captured, restored, stored, texts
from .grid_flow import shift_of, tokens
from .inverted import Inversion, check_taken_up, ended
from .kinds import check_kind, predicted
from .schedule import check_timesteps
from .state import DiffusionState, Emitted, Sampled
from .trained import trained


@dataclass(frozen=True)
class AdapterState(DiffusionState):
    """A sampler's state, with what the scheduler object keeps."""

    large: Tensor
    """[B, K, ...], tensors of the latent's shape"""
    small: Tensor
    """[B, n] uint8, the rest as JSON"""


@node("scheduler.diffusers")
class Adapter(Loop):
    """Any scheduler class of diffusers, one object for each item.

    class: its name, as EulerDiscreteScheduler. options: entries of its configuration, over those of the model's
    scheduler. A step is one denoiser call, as the class counts its timesteps.

    It is slower than flowgen's own samplers, which see a batch as one tensor, and ``steps`` and ``options`` are the
    same for a whole batch: items of different lengths don't share one. What an object keeps is stored with the
    loop's state, so that checkpoints work; a class that keeps what is neither tensors nor numbers is refused.
    """

    start: Noise
    prediction: Feedback[Prediction]
    model: Annotated[Model, Uses("scheduler")]
    class_: str
    steps: int = 50
    options: Mapping[str, Any] = {}

    def fresh(self, shape: tuple[int, ...]) -> Fresh:
        """The scheduler at its beginning."""
        return fresh(self.class_, self.model.part("scheduler").config, canonical(self.options), self.steps, shape)

    @cached_property
    def schedule(self) -> str:
        """What its timesteps mean: that of the model, whatever ``options`` says."""
        return trained(self.model.part("scheduler").config)

    def length(self) -> list[int]:
        """The number of the class's timesteps."""
        return [len(self.fresh(()).times)]

    def continues(self, port: str, other: Loop, wired: frozenset[str]) -> None:
        """Noise that an inversion found is taken up where that ended. Raises WiringError."""
        if port == "start" and isinstance(other, Inversion):
            check_taken_up(other.ended()[0], *self.fresh(()).begins(), has_init=False)

    def begin(self) -> AdapterState:
        """The start noise, as large as the class asks for."""
        data = self.start.data
        began = self.fresh(tuple(data.shape[1:]))
        if not is_abstract() and (items := ended(self.start)):
            alpha, sigma = began.begins()
            for left in items:
                check_taken_up(left, alpha, sigma, has_init=False)
        large = data.new_zeros(len(data), began.large, *data.shape[1:])
        small = stored(["{}"] * len(data), began.small)
        return AdapterState(data * began.scale, self.start.stream, self.start.space, large, small)

    def emit(self, state: AdapterState, i: PerItem[int]) -> Emitted:
        """x and its time."""
        began = self.fresh(tuple(state.x.shape[1:]))
        levels = torch.tensor([began.levels[k] for k in i.values], dtype=torch.float64)
        times = torch.tensor([began.times[k] for k in i.values], dtype=torch.float32)
        fraction = torch.tensor([k / len(began.times) for k in i.values], dtype=torch.float64)
        time = Time(i.tensor, times, levels[:, 1], levels[:, 0], fraction).to(state.x.device)
        return Emitted(Noisy(state.x, time, state.space, self.schedule))

    def advance(self, state: AdapterState, i: PerItem[int], prediction: Prediction) -> AdapterState:
        """One step of each item's object."""
        began = self.fresh(tuple(state.x.shape[1:]))
        check_kind(prediction, began.kind)
        if is_abstract():
            return state
        rows = []
        for row, (k, text) in enumerate(zip(i.values, texts(state.small), strict=True)):
            one = state.take([row])
            generator = torch.Generator("cpu")
            generator.set_state(one.stream[0].cpu().clone())
            scheduler = restored(began.scheduler, text, [each[None] for each in one.large[0]])
            x = began.step(scheduler, k, one.x, prediction.data[row : row + 1], generator)
            kept = Captured(scheduler, began.scheduler, tuple(x.shape))
            large = torch.zeros_like(one.large)
            for n, tensor in enumerate(kept.large):
                large[0, n] = tensor[0]
            stream = generator.get_state()[None].to(one.stream)
            rows.append(one.replace(x=x, stream=stream, large=large, small=stored([kept.text], began.small)))
        return AdapterState.concat(rows)

    def finish(self, state: AdapterState) -> Sampled:
        """The clean latent."""
        return Sampled(Latent(state.x, state.space))


class Fresh:
    """A scheduler object before its first step, and what can be known beforehand."""

    def __init__(self, scheduler: Any, steps: int, shape: tuple[int, ...]) -> None:
        self.scheduler = scheduler
        about = dict(scheduler.config)
        self.kind = predicted(about)
        takes = inspect.signature(scheduler.set_timesteps).parameters
        shift = {"mu": math.log(shift_of(about, tokens(shape)))} if about.get("use_dynamic_shifting") else {}
        if about.get("use_dynamic_shifting") and "sigmas" in takes:
            scheduler.set_timesteps(sigmas=[1 - n / steps for n in range(steps)], **shift)
        else:
            scheduler.set_timesteps(steps, **shift)
        self.draws = "generator" in inspect.signature(scheduler.step).parameters
        self.times = [float(t) for t in scheduler.timesteps]
        self.scale = float(getattr(scheduler, "init_noise_sigma", 1.0))
        self.levels: list[tuple[float, float]] = []
        self.large, self.small = 0, 2
        if shape:
            self.rehearse(shape)

    def begins(self) -> tuple[float, float]:
        """alpha and sigma at the first call."""
        with _disable_current_modes():
            return self.level(copy.deepcopy(self.scheduler), 0)

    def rehearse(self, shape: tuple[int, ...]) -> None:
        """Go all the way with zeros: how much is there to keep, and at which alpha and sigma are the calls?"""
        scheduler = copy.deepcopy(self.scheduler)
        x, generator = torch.zeros(1, *shape), torch.Generator("cpu")
        for k in range(len(self.times)):
            self.levels.append(self.level(scheduler, k))
            x = self.step(scheduler, k, x, torch.zeros_like(x), generator)
            kept = Captured(scheduler, self.scheduler, tuple(x.shape))
            self.large, self.small = max(self.large, len(kept.large)), max(self.small, len(kept.text.encode()))
        self.small += 64  # numbers are written at different lengths

    def level(self, scheduler: Any, k: int) -> tuple[float, float]:
        """alpha and sigma at call ``k``, from how the class scales a network's input."""
        t, about = scheduler.timesteps[k], scheduler.config
        if self.kind == "flow":
            sigma = float(scheduler.sigmas[k])
            return 1 - sigma, sigma
        scale = 1.0
        if hasattr(scheduler, "scale_model_input"):
            scale = float(scheduler.scale_model_input(torch.ones(1, dtype=torch.float64), t))
        if scale == 1 and hasattr(scheduler, "alphas_cumprod"):
            bar = float(scheduler.alphas_cumprod[round(float(t))])
            return bar**0.5, (1 - bar) ** 0.5
        alpha = about.get("sigma_data", 1.0)
        return alpha, max(scale**-2 - alpha**2, 0) ** 0.5

    def step(self, scheduler: Any, k: int, x: Tensor, said: Tensor, generator: torch.Generator) -> Tensor:
        """One step of an object, [1, ...]."""
        t = scheduler.timesteps[k]
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, t)
        extra = {"generator": generator} if self.draws else {}
        after: Tensor = scheduler.step(said, t, x, **extra, return_dict=False)[0]
        return after.to(x.dtype)


@lru_cache(maxsize=64)
def fresh(name: str, config: str, options: str, steps: int, shape: tuple[int, ...]) -> Fresh:
    """The scheduler of a class name. Raises WiringError for a class that isn't there, or doesn't take the options."""
    import diffusers

    cls = getattr(diffusers, name, None)
    if not (isinstance(cls, type) and issubclass(cls, diffusers.SchedulerMixin)):
        known = [each for each in dir(diffusers) if each.endswith("Scheduler")]
        raise WiringError(f"diffusers has no scheduler '{name}'", hint=did_you_mean(name, known), about="class")
    given = json.loads(options)
    known = list(inspect.signature(cls).parameters)
    if unknown := next((each for each in given if each not in known), None):
        raise WiringError(f"{name} has no option '{unknown}'", hint=did_you_mean(unknown, known), about="options")
    check_timesteps(given, name, "options")
    try:
        with _disable_current_modes(), torch.no_grad():
            about = {entry: value for entry, value in json.loads(config).items() if entry in known}
            return Fresh(cls(**{**about, **given}), steps, shape)
    except WiringError:
        raise
    except Exception as error:
        raise WiringError(
            f"{name} doesn't run with {steps} steps and its options: {error}", about="options steps"
        ) from None
