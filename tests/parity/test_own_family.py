"""The family that docs/families.md writes, against its pipeline in diffusers."""

import sys

import diffusers
import pytest
import torch
from comparing import Case, asked, gap
from flowgen_nodes.families import TABLE
from flowgen_nodes.models.folder import read_model
from test_docs import blocks
from tiny_models.images import autoencoder
from tiny_models.texts import t5_text, t5_tokenizer

from flowgen.errors import UserError


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    transformer = diffusers.AuraFlowTransformer2DModel(
        sample_size=16,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pos_embed_max_size=64,
    )
    pipe = diffusers.AuraFlowPipeline(
        tokenizer,
        t5_text(tokenizer, multilingual=True),
        autoencoder(scale=0.13025),
        transformer,
        diffusers.FlowMatchEulerDiscreteScheduler(shift=1.73),
    )
    pipe.save_pretrained(tmp_path / "aura")
    return tmp_path / "aura"


def test_the_page_adds_a_family(tmp_path, monkeypatch, folder):
    monkeypatch.delitem(TABLE, "AuraFlowPipeline", raising=False)
    with pytest.raises(UserError, match="doesn't know the family"):
        read_model(folder, "aura")
    (code,) = blocks("docs/families.md", "python")
    (tmp_path / "aura.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    __import__("aura")
    try:
        latents, made = Case("aura", "scheduler.euler").mine(tmp_path, folder)
    finally:
        sys.modules.pop("aura")
        TABLE.pop("AuraFlowPipeline")
    pipe = diffusers.AuraFlowPipeline.from_pretrained(folder)
    options = {"num_inference_steps": 3, "guidance_scale": 4.0, "height": 32, "width": 32}
    assert gap(latents, pipe(**asked("latent", **options)).images) <= 1e-4
    assert ((made / 2 + 0.5).clamp(0, 1) - pipe(**asked("pt", **options)).images).abs().max() <= 1e-4
