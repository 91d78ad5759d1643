"""The loop of a sampler as one writes it in a script: what the engine's is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def loops(plan: Any, parcel: Any, store: Any, network: Any, batch: int, steps: int) -> Any:
    """A plain DDIM loop with guidance (Song et al. 2021, eq. 12, eta 0): one call of twice the batch a step. And one in
    which, as in a batch that nobody sees, each item has a step, coefficients and a scale of its own.
    """
    config = plan.graph.references["digits"].values[()].config("scheduler")
    betas = torch.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, 1000, dtype=torch.float64) ** 2
    bars = torch.cumprod(1 - betas, 0)
    spacing = 1000 // steps
    states = {}
    for name in ("text", "empty"):
        key = next(key for key in parcel.inputs[name] if key)
        states[name] = store.read([key], "value")[0][1].states
    start = torch.cat([torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(s)) for s in range(batch)])
    context = torch.cat([states["text"].expand(batch, -1, -1), states["empty"].expand(batch, -1, -1)])

    def run() -> Any:
        x = start
        times = [spacing * n + config.get("steps_offset", 0) for n in reversed(range(steps))]
        for n, t in enumerate(times):
            bar = bars[t].float()
            after = bars[times[n + 1]].float() if n + 1 < steps else final(config, bars)
            told = network(torch.cat([x, x]), torch.full((2 * batch,), t), encoder_hidden_states=context).sample
            cond, uncond = told.chunk(2)
            noise = uncond + 4 * (cond - uncond)
            clean = (x - (1 - bar).sqrt() * noise) / bar.sqrt()
            if config.get("clip_sample"):
                clean = clean.clamp(-1, 1)
            x = after.sqrt() * clean + (1 - after).sqrt() * noise
        return x

    def itemwise() -> Any:
        x, at = start, [0] * batch
        scale = torch.full((batch, 1, 1, 1), 4.0)
        for _ in range(steps):
            now = torch.from_numpy(table.take(np.asarray(at), axis=1))
            level = (now[1] ** 2 + now[2] ** 2).rsqrt().float().view(-1, 1, 1, 1)
            time, twice = now[0].long(), torch.cat([x, x]) * torch.cat([level, level])
            told = network(twice, torch.cat([time, time]), encoder_hidden_states=context).sample
            cond, uncond = told.chunk(2)
            noise = uncond + scale * (cond - uncond)
            alpha, sigma, to_clean, to_noise = (row.float().view(-1, 1, 1, 1) for row in now[1:])
            clean = (x - sigma * noise) / alpha
            if config.get("clip_sample"):
                clean = clean.clamp(-1, 1)
            x = to_clean * clean + to_noise * noise
            at = [n + 1 for n in at]
        return x

    times = [spacing * n + config.get("steps_offset", 0) for n in reversed(range(steps))]
    after = torch.cat([bars[times[1:]], final(config, bars).double()[None]])
    columns = [
        torch.tensor(times).double(),
        bars[times].sqrt(),
        (1 - bars[times]).sqrt(),
        after.sqrt(),
        (1 - after).sqrt(),
    ]
    table = torch.stack(columns).numpy()
    return run, itemwise


def final(config: dict[str, Any], bars: Any) -> Any:
    """The alpha-bar at which the last step ends."""
    return torch.tensor(1.0) if config.get("set_alpha_to_one", True) else bars[0].float()
