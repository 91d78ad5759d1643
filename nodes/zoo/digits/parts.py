"""How each part of zoo:digits is trained. Step counts, not seconds, define the recipe; one seed for everything."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from . import nets
from .captions import DIGITS, NAMES
from .data import Batch, Handwriting, sample
from .training import Average, fit


def classifier(name: str, digits: Handwriting, steps: int, seed: int, size: int = 64) -> nets.Classifier:
    """The domain's feature extractor, and by the same recipe on other images the judge."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = nets.Classifier()

    def loss(step: int) -> Tensor:
        batch = sample(digits, size, rng)
        noisy = batch.images + 0.05 * torch.randn_like(batch.images)
        logits = model.logits(noisy)
        return torch.stack([F.cross_entropy(logits[what], batch.labels(what)) for what in logits]).sum()

    fit(name, list(model.parameters()), loss, steps, 2e-3)
    nets.freeze(model)
    return model


def tokens(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids [B, 16], padded with the end token as Stable Diffusion does."""
    ids: Tensor = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return ids


def clip(tokenizer: CLIPTokenizer, digits: Handwriting, steps: int, seed: int, size: int = 128) -> CLIPModel:
    """Contrastive training of both towers, with linear heads beside it that name digit, ink and ground.

    Pictures of the same scene are positives of one another: with 90 pairs of digit and colour a batch has many.
    The heads make the small vision transformer learn shapes early; they are thrown away.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = nets.clip(tokenizer)
    sizes = {"digit": len(DIGITS), "ink": len(NAMES), "ground": len(NAMES)}
    heads = nn.ModuleDict({what: nn.Linear(nets.WIDTH, classes) for what, classes in sizes.items()})

    def loss(step: int) -> Tensor:
        batch = sample(digits, size, rng)
        ids = tokens(tokenizer, batch.texts)
        result = model(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=batch.images)
        scene = torch.tensor([(s.digit * 9 + s.ink) * 9 + s.ground for s in batch.scenes])
        same = (scene[:, None] == scene[None]).float()
        target = same / same.sum(1, keepdim=True)
        contrast = F.cross_entropy(result.logits_per_text, target) + F.cross_entropy(result.logits_per_image, target)
        pooled = model.visual_projection(result.vision_model_output.pooler_output)
        named = [F.cross_entropy(head(pooled), batch.labels(what)) for what, head in heads.items()]
        total: Tensor = contrast / 2 + torch.stack(named).mean()
        return total

    fit("clip", [*model.parameters(), *heads.parameters()], loss, steps, 2e-3)
    nets.freeze(model)
    return model


def autoencoder(digits: Handwriting, steps: int, seed: int, size: int = 32) -> AutoencoderKL:
    """L1, L2 and gradient loss with strokes weighted six to one: unweighted, thin strokes turn brown or grey."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = nets.autoencoder()

    def loss(step: int) -> Tensor:
        batch = sample(digits, size, rng)
        posterior = model.encode(batch.images).latent_dist
        decoded = model.decode(posterior.sample()).sample
        error = decoded - batch.images
        weight = 1 + 5 * batch.masks
        slopes = (torch.diff(error, dim=2).abs().mean() + torch.diff(error, dim=3).abs().mean()) / 2
        pixels = (weight * (error.abs() + error**2)).mean()
        total: Tensor = pixels + 0.5 * slopes + 5e-4 * posterior.kl().mean() / (4 * 64)
        return total

    fit("vae", list(model.parameters()), loss, steps, 2.5e-3)
    nets.freeze(model)
    whiten(model, sample(digits, 1024, rng))
    return model


@torch.no_grad()
def whiten(model: AutoencoderKL, batch: Batch) -> None:
    """Fold each latent channel's mean and deviation into the 1x1 convolutions around the latent.

    The decoded image is unchanged; the latent gets mean 0, deviation 1, so ``scaling_factor`` is 1.
    """
    latent = model.encode(batch.images).latent_dist.mean
    mean, deviation = latent.mean((0, 2, 3)), latent.std((0, 2, 3))
    before, after = model.quant_conv, model.post_quant_conv
    assert before is not None and after is not None
    scale = torch.cat([deviation, torch.ones_like(deviation)])
    before.weight.div_(scale[:, None, None, None])
    before.bias.sub_(torch.cat([mean, torch.zeros_like(mean)])).div_(scale)
    before.bias[4:].sub_(2 * deviation.log())
    after.bias.add_((after.weight[:, :, 0, 0] * mean).sum(1))
    after.weight.mul_(deviation[None, :, None, None])


@torch.no_grad()
def bank(
    vae: AutoencoderKL,
    clip_model: CLIPModel,
    tokenizer: CLIPTokenizer,
    digits: Handwriting,
    size: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Latents [N, 4, 8, 8] and caption states [N, 16, 64] of ``size`` random pictures."""
    latents, states = [], []
    for _ in range(size // 500):
        batch = sample(digits, 500, rng)
        latents.append(vae.encode(batch.images).latent_dist.sample())
        states.append(clip_model.text_model(tokens(tokenizer, batch.texts)).last_hidden_state)
    return torch.cat(latents), torch.cat(states)


def noisy_classifier(
    vae: AutoencoderKL, digits: Handwriting, steps: int, seed: int, size: int = 256
) -> nets.NoisyClassifier:
    """Cross-entropy of the digit at uniformly drawn timesteps, on a bank of latents that is drawn anew now and then."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = nets.NoisyClassifier()
    alphas = nets.scheduler().alphas_cumprod
    latents = labels = torch.empty(0)

    @torch.no_grad()
    def draw() -> tuple[Tensor, Tensor]:
        batches = [sample(digits, 500, rng) for _ in range(80)]
        drawn = [vae.encode(batch.images).latent_dist.sample() for batch in batches]
        return torch.cat(drawn), torch.cat([batch.labels("digit") for batch in batches])

    def loss(step: int) -> Tensor:
        nonlocal latents, labels
        if step % 1500 == 0:
            latents, labels = draw()
        chosen = torch.randint(len(latents), (size,))
        t = torch.randint(len(alphas), (size,))
        alpha = alphas[t][:, None, None, None]
        noisy = alpha.sqrt() * latents[chosen] + (1 - alpha).sqrt() * torch.randn_like(latents[chosen])
        return F.cross_entropy(model(noisy, t), labels[chosen])

    fit("noisy", list(model.parameters()), loss, steps, 2e-3)
    nets.freeze(model)
    return model


def denoiser(
    vae: AutoencoderKL,
    clip_model: CLIPModel,
    tokenizer: CLIPTokenizer,
    digits: Handwriting,
    steps: int,
    seed: int,
    size: int = 128,
) -> UNet2DConditionModel:
    """Epsilon prediction (Ho et al. 2020, eq. 14) with the caption dropped in 10% (Ho & Salimans 2022).

    Works on a bank of latents that is drawn anew every 1500 steps: encoding each batch afresh costs as much as a step.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = nets.denoiser()
    average = Average(model)
    alphas = nets.scheduler().alphas_cumprod
    with torch.no_grad():
        empty = clip_model.text_model(tokens(tokenizer, [""])).last_hidden_state
    latents = states = torch.empty(0)

    def loss(step: int) -> Tensor:
        nonlocal latents, states
        if step % 1500 == 0:
            latents, states = bank(vae, clip_model, tokenizer, digits, 60_000, rng)
        chosen = torch.randint(len(latents), (size,))
        context = torch.where(torch.rand(size, 1, 1) < 0.1, empty, states[chosen])
        t = torch.randint(len(alphas), (size,))
        alpha = alphas[t][:, None, None, None]
        noise = torch.randn_like(latents[chosen])
        noisy = alpha.sqrt() * latents[chosen] + (1 - alpha).sqrt() * noise
        average.update(model, step)
        return F.mse_loss(model(noisy, t, context).sample, noise)

    fit("unet", list(model.parameters()), loss, steps, 2e-3)
    shipped = copy.deepcopy(model)
    average.copy_to(shipped)
    nets.freeze(shipped)
    return shipped
