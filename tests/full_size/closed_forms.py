"""FLOPs of one call of a denoiser for one item, from its configuration by hand.

2 FLOPs for each multiplication with addition in convolutions, linear layers and attention's two products; norms,
activations, softmax, biases and rotary embeddings aren't counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Config = dict[str, Any]
PATCH = 2 * 2
TIME = 256
"""width of the sinusoidal embedding of time in the transformers"""


def linear(tokens: int, *widths: int) -> int:
    """Layers one after the other, from the first width to the last."""
    return sum(2 * tokens * before * after for before, after in zip(widths, widths[1:], strict=False))


def conv(size: int, channels: int, out: int, kernel: int = 3) -> int:
    """A convolution that gives a square of ``size``."""
    return 2 * size * size * channels * out * kernel * kernel


def attention(queries: int, keys: int, width: int) -> int:
    """q kᵀ, and its product with v, all heads together."""
    return 2 * 2 * queries * keys * width


def unet(config: Config, length: int) -> int:
    """Stable Diffusion 1 and XL; ``length`` is that of the text. Rombach et al. 2022; Podell et al. 2023."""
    size, widths = config["sample_size"], config["block_out_channels"]
    first, told = widths[0], 4 * widths[0]
    total = linear(1, first, told, told)
    if "projection_class_embeddings_input_dim" in config:
        total += linear(1, config["projection_class_embeddings_input_dim"], told, told)
    total += conv(size, 4, first) + conv(size, first, 4)
    blocks, skips = list(levels(config)), [first]
    before = first
    for number, (width, depth) in enumerate(blocks):
        for _ in range(2):
            total += resnet(size, before, width, told) + transformer(size, width, depth, length, config)
            before = width
            skips.append(width)
        if number < len(blocks) - 1:
            size //= 2
            total += conv(size, width, width)
            skips.append(width)
    depth = config.get("transformer_layers_per_block", [1])[-1]
    total += 2 * resnet(size, before, before, told) + transformer(size, before, depth, length, config)
    for number, (width, depth) in enumerate(reversed(blocks)):
        for _ in range(3):
            total += resnet(size, before + skips.pop(), width, told) + transformer(size, width, depth, length, config)
            before = width
        if number < len(blocks) - 1:
            size *= 2
            total += conv(size, width, width)
    assert not skips
    return total


def levels(config: Config) -> Iterator[tuple[int, int]]:
    """Channels and depth of the transformers of each level; 0 without."""
    depths = config.get("transformer_layers_per_block", [1] * len(config["block_out_channels"]))
    for width, depth, kind in zip(config["block_out_channels"], depths, config["down_block_types"], strict=True):
        yield width, depth if "CrossAttn" in kind else 0


def resnet(size: int, channels: int, out: int, told: int) -> int:
    """Two convolutions, the time's shift, and a way round where the channels change."""
    around = conv(size, channels, out, 1) if channels != out else 0
    return conv(size, channels, out) + conv(size, out, out) + linear(1, told, out) + around


def transformer(size: int, width: int, depth: int, length: int, config: Config) -> int:
    """Self-attention, attention to the text, and a gated layer of four times the width; in and out."""
    if not depth:
        return 0
    tokens, context = size * size, config["cross_attention_dim"]
    own = 4 * linear(tokens, width, width) + attention(tokens, tokens, width)
    other = 2 * linear(tokens, width, width) + 2 * linear(length, context, width) + attention(tokens, length, width)
    gated = linear(tokens, width, 8 * width) + linear(tokens, 4 * width, width)
    return 2 * linear(tokens, width, width) + depth * (own + other + gated)


def sd3(config: Config, length: int) -> int:
    """Both streams have weights of their own and attend together; the last block drops the text. Esser et al. 2024."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    tokens = (config["sample_size"] // config["patch_size"]) ** 2
    around = linear(tokens, PATCH * config["in_channels"], width)
    around += linear(tokens, width, PATCH * config["out_channels"])
    around += linear(length, config["joint_attention_dim"], width)
    around += linear(1, TIME, width, width) + linear(1, config["pooled_projection_dim"], width, width)
    around += linear(1, width, 2 * width)
    both = tokens + length
    block = linear(both, width, 3 * width) + attention(both, both, width) + linear(both, width, width)
    block += linear(both, width, 4 * width, width) + 2 * linear(1, width, 6 * width)
    dropped = linear(length, width, width) + linear(length, width, 4 * width, width) + linear(1, width, 4 * width)
    return around + config["num_layers"] * block - dropped


def flux(config: Config, length: int, size: int = 128) -> int:
    """Blocks of two streams, then blocks of one, in which attention and the feed-forward layer stand side by side."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    tokens = (size // 2) ** 2
    around = linear(tokens, config["in_channels"], width) + linear(tokens, width, config["in_channels"])
    around += linear(length, config["joint_attention_dim"], width) + linear(1, width, 2 * width)
    around += 2 * linear(1, TIME, width, width) + linear(1, config["pooled_projection_dim"], width, width)
    both = tokens + length
    shared = linear(both, width, 3 * width) + attention(both, both, width)
    double = shared + linear(both, width, width) + linear(both, width, 4 * width, width)
    double += 2 * linear(1, width, 6 * width)
    single = shared + linear(both, width, 4 * width) + linear(both, 5 * width, width) + linear(1, width, 3 * width)
    return around + config["num_layers"] * double + config["num_single_layers"] * single


def wan(config: Config, length: int, frames: int = 21, height: int = 60, width: int = 104) -> int:
    """All patches of all frames attend to one another, and to the text. Wan et al. 2025."""
    wide = config["num_attention_heads"] * config["attention_head_dim"]
    tokens = frames * height * width // PATCH
    around = 2 * linear(tokens, PATCH * 16, wide) + linear(length, config["text_dim"], wide, wide)
    around += linear(1, config["freq_dim"], wide, wide, 6 * wide)
    own = 4 * linear(tokens, wide, wide) + attention(tokens, tokens, wide)
    other = 2 * linear(tokens, wide, wide) + 2 * linear(length, wide, wide) + attention(tokens, length, wide)
    return around + config["num_layers"] * (own + other + linear(tokens, wide, config["ffn_dim"], wide))
