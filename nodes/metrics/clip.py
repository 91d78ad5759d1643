"""The node ``score.clip``."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F

from flowgen.node import Uses, node
from flowgen.values import Image, Model, PerItem, Score

MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
"""CLIP's own normalisation (Radford et al. 2021), for folders that don't say."""


@node("score.clip")
def clip_score(
    image: Image,
    text: PerItem[str],
    model: Annotated[Model, Uses("clip", "tokenizer", "image_processor")],
    weight: float = 100.0,
) -> Score:
    """CLIP score, ``weight * max(cos(image, text), 0)``; Hessel et al. 2021, arXiv:2104.08718.

    weight: 100 as in torchmetrics; the paper has 2.5.

    Pictures are clipped to their range and, where their size differs from the model's, resized in floating point
    (bicubic, antialiased) to its square. Each text is used as it stands, without a prefix.
    """
    clip, about = model["clip"], model["image_processor"]
    size = clip.config.vision_config.image_size
    pixels = image.unit()
    if pixels.shape[-2:] != (size, size):
        pixels = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    mean, std = (torch.tensor(about.get(k, v)) for k, v in (("image_mean", MEAN), ("image_std", STD)))
    pixels = (pixels - mean.to(pixels)[:, None, None]) / std.to(pixels)[:, None, None]
    tokens = model["tokenizer"](text.values, padding="max_length", truncation=True)
    ids = torch.tensor(tokens["input_ids"], device=clip.device)
    told = clip.text_model(ids, attention_mask=torch.tensor(tokens["attention_mask"], device=clip.device))
    said = clip.text_projection(told.pooler_output)
    seen = clip.visual_projection(clip.vision_model(pixels.to(clip.dtype)).pooler_output)
    cosine = F.cosine_similarity(seen.float(), said.float(), dim=-1)
    return Score(weight * cosine.clamp(min=0), torch.ones(len(cosine), dtype=torch.long), "CLIP score")
