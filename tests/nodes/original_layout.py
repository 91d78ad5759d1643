"""Stable Diffusion's own names for the tensors of diffusers' networks, from its code: the inverse of loading."""

import re

from torch import Tensor

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_name(name: str, layers: int, attending_up: set[int]) -> str:
    """A tensor of a UNet2DConditionModel as ``openaimodel.UNetModel`` calls it.

    layers: layers_per_block. attending_up: levels of the way up that attend.
    """
    if found := re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name):
        way, level, kind, n, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        if way == "down":
            block = f"input_blocks.{(layers + 1) * level + n + 1}"
        else:
            block = f"output_blocks.{(layers + 1) * level + n}"
        if kind == "downsamplers":
            return f"input_blocks.{(layers + 1) * (level + 1)}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            place = 2 if level in attending_up else 1
            return f"output_blocks.{(layers + 1) * level + layers}.{place}.{rest}"
        return f"{block}.{0 if kind == 'resnets' else 1}.{resnet(rest) if kind == 'resnets' else rest}"
    for theirs, own in UNET.items():
        if name.startswith(f"{theirs}."):
            rest = name.removeprefix(f"{theirs}.")
            return f"{own}.{resnet(rest) if 'resnets' in theirs else rest}"
    raise ValueError(name)


def resnet(name: str) -> str:
    """A tensor within a residual block."""
    first, _, rest = name.partition(".")
    return f"{RESNET[first]}.{rest}"


def vae_name(name: str, levels: int) -> str:
    """A tensor of an AutoencoderKL as ``model.Encoder`` and ``model.Decoder`` call it."""
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if "mid_block.attentions.0" in name:
        head, _, rest = name.partition("mid_block.attentions.0.")
        layer, _, tensor = rest.rpartition(".")
        name = f"{head}mid.attn_1.{VAE_ATTENTION[layer]}.{tensor}"
    return name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def original(pipe) -> dict[str, Tensor]:
    """The checkpoint of a StableDiffusionPipeline in one mapping."""
    config = pipe.unet.config
    attending = {n for n, block in enumerate(config.up_block_types) if block.startswith("CrossAttn")}
    found = {}
    for name, tensor in pipe.unet.state_dict().items():
        found[f"model.diffusion_model.{unet_name(name, config.layers_per_block, attending)}"] = tensor
    for name, tensor in pipe.vae.state_dict().items():
        theirs = vae_name(name, len(pipe.vae.config.block_out_channels))
        pointwise = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", theirs)  # convolutions of one position
        found[f"first_stage_model.{theirs}"] = tensor[:, :, None, None] if pointwise else tensor
    for name, tensor in pipe.text_encoder.state_dict().items():
        found[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    return {name: tensor.contiguous() for name, tensor in found.items()}
