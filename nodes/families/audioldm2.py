"""AudioLDM 2: CLAP and T5, a language model that dreams up what the sound is like, a UNet over spectrograms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowgen.errors import UserError
from flowgen.values import Conditioning, Model
from flowgen.values.model import Loader, Part, canonical, loader_of

from .family import Config, Configs, Family, Question, factor_of
from .texts import note, tokens

SOUNDER = "vae_vocoder"
"""the part that decodes: a spectrogram, then its sound"""
HALF = "transformers:ClapTextModelWithProjection"


class AudioLDM2(Family):
    """Liu et al. 2023, arXiv:2308.05734. Latents are [B, C, time, frequency], always as long as the model's.

    Each text is encoded alone, without padding: the language model's positions count it. States are those that the
    language model generates, then T5's, as wide as the wider of them.
    """

    pipelines = ("AudioLDM2Pipeline",)
    autoencoder = SOUNDER
    makes = "sounds"
    conditions = "generated states and T5 states"

    def about(self, index: Config, configs: Configs) -> Config:
        """How many states are generated, and how wide both kinds are. Raises UserError for models of speech."""
        language = configs["language_model"]
        if configs["text_encoder_2"].get("model_type") == "vits":
            raise UserError("AudioLDM 2 models of speech, which read phonemes, aren't supported yet")
        return {
            "generated": language.get("max_new_tokens") or 8,
            "widths": [language["n_embd"], configs["text_encoder_2"]["d_model"]],
        }

    def made_parts(self, parts: Mapping[str, Part]) -> dict[str, Part]:
        """The autoencoder and the vocoder as one; of CLAP the half that reads texts."""
        of = (parts["vae"], parts["vocoder"])
        config = canonical({part.name: json.loads(part.config) for part in of})
        loader = f"{Sounder.__module__}:{Sounder.__qualname__}"
        clap = json.loads(parts["text_encoder"].config)
        half = {**clap["text_config"], "projection_dim": clap["projection_dim"], "class": HALF}
        return {
            SOUNDER: Part(SOUNDER, loader, of[0].folder, config, dtype=of[0].dtype, of=of),
            "text_encoder": replace(parts["text_encoder"], config=canonical(half)),
        }

    def latent(self, configs: Configs) -> Config:
        """One size."""
        net, vae = configs["unet"], configs["vae"]
        frequencies = configs["vocoder"]["model_in_dim"]
        return {
            "shape": [net["in_channels"], net["sample_size"], frequencies // factor_of(vae)],
            "channels": net["in_channels"],
            "space": self.space({**vae, "model_in_dim": frequencies}),
        }

    def space(self, vae: Config) -> str:
        """The autoencoder's, of spectrograms."""
        return f"{super().space(vae)}, spectrogram of {vae['model_in_dim']}"

    def encode(self, model: Model, texts: Sequence[str]) -> Conditioning:
        """[B, generated + L, D] and the mask."""
        claps = model["text_encoder"]
        ids, mask = tokens(model["tokenizer"], texts, claps.device)
        summaries = F.normalize(claps(ids, attention_mask=mask).text_embeds, dim=-1)[:, None]
        found = [self.one(model, text, summary[None]) for text, summary in zip(texts, summaries, strict=True)]
        states, masks = (torch.cat(each) for each in zip(*found, strict=True))
        return Conditioning(states, mask=masks, space=self.conditions)

    def one(self, model: Model, text: str, summary: Tensor) -> tuple[Tensor, Tensor]:
        """The states of one text and their mask, padded to the tokeniser's longest input."""
        tokenizer, encoder = model["tokenizer_2"], model["text_encoder_2"]
        whole, most = tokenizer(text).input_ids, tokenizer.model_max_length
        note(tokenizer, text, whole[most - 1 : -1], most)
        ids = torch.tensor([tokenizer(text, truncation=True, max_length=most).input_ids], device=encoder.device)
        read = encoder(ids, attention_mask=torch.ones_like(ids))[0]
        ones = (summary.new_ones(1, 1, dtype=torch.long), torch.ones_like(ids))
        projected = model["projection_model"](
            hidden_states=summary, hidden_states_1=read, attention_mask=ones[0], attention_mask_1=ones[1]
        ).hidden_states
        for _ in range(count := self.options["generated"]):
            said = model["language_model"](inputs_embeds=projected, output_hidden_states=True).hidden_states[-1]
            projected = torch.cat([projected, said[:, -1:]], 1)
        wide = max(self.options["widths"])
        pieces = (projected[:, -count:], F.pad(read, (0, 0, 0, most - ids.shape[1])))
        states = torch.cat([F.pad(piece, (0, wide - piece.shape[2])) for piece in pieces], 1)
        return states, F.pad(ids.new_ones(1, count + ids.shape[1]), (0, most - ids.shape[1]))

    def predict(self, net: Any, asked: Question) -> Tensor:
        """Epsilon, told both kinds of states."""
        count, (first, second) = self.options["generated"], self.options["widths"]
        states, mask = asked.states(), asked.needed("mask", "encode the text with the model's own encoders")
        return net(
            asked.x,
            asked.time,
            encoder_hidden_states=states[:, :count, :first],
            encoder_hidden_states_1=states[:, count:, :second],
            encoder_attention_mask_1=mask[:, count:],
        ).sample

    def decode(self, vae: Any, latents: Tensor) -> Tensor:
        """A spectrogram, then a sound."""
        sound: Tensor = vae.decode(self.unscaled(vae, latents).to(vae.dtype))
        return sound.float()


class Sounder(Loader):
    """An autoencoder of spectrograms and a vocoder, from the folders of both."""

    libraries = ("diffusers", "transformers")

    def build(self, part: Part) -> Any:
        """From their configurations."""
        return Sounding(*(loader_of(own).build(own) for own in part.of)).eval()

    def load(self, part: Part, device: str) -> Any:
        """From their weights."""
        from ..models.running import ready

        return ready(Sounding(*(loader_of(own).load(own, "cpu") for own in part.of)), part, device)


class Sounding(nn.Module):
    """Latents to sounds."""

    def __init__(self, vae: Any, vocoder: Any) -> None:
        from diffusers.configuration_utils import FrozenDict

        super().__init__()
        self.vae = vae
        self.vocoder = vocoder
        own = {name: getattr(vocoder.config, name) for name in ("model_in_dim", "sampling_rate")}
        self.config = FrozenDict({**vae.config, **own})

    @property
    def dtype(self) -> torch.dtype:
        """The autoencoder's."""
        found: torch.dtype = self.vae.dtype
        return found

    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, time, frequency] as [B, 1, samples]."""
        sound: Tensor = self.vocoder(self.vae.decode(latents).sample[:, 0])
        return sound[:, None]
