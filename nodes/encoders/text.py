"""The node ``encoder.text``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch

from flowgen.errors import UserError, WiringError
from flowgen.node import Uses, node
from flowgen.values import Conditioning, Model, PerItem
from flowgen.values.per_item import over_items

from ..families import Family
from ..families.prompts import BREAK, Texts
from ..families.texts import Cut, noting_cuts

PARTS = (
    "family",
    "text_encoder?",
    "text_encoder_2?",
    "text_encoder_3?",
    "tokenizer?",
    "tokenizer_2?",
    "tokenizer_3?",
    "projection_model?",
    "language_model?",
)
WEIGHT = re.compile(r"(?<!\\)\([^()]+:\s*\d*\.?\d+\)")
"""a weight as A1111's web UI writes it"""
OPTIONS = ("text_2", "text_3", "clip_skip", "weighting", "chunks")


def cautions(**arguments: Any) -> list[UserError]:
    """What isn't read of the texts."""
    with noting_cuts() as cuts:
        encode_text(**arguments)
    distinct = dict.fromkeys(cuts)
    family: Family = arguments["model"]["family"]
    found = [warning(reader, [cut for cut in distinct if cut.reader == reader], family) for reader in readers(distinct)]
    marks = [(WEIGHT, "weighting", "words", "'weighting: a1111' reads weights")] * (arguments["weighting"] == "none")
    marks += [(BREAK, "chunks", "a word", "'chunks: 2' begins a new piece there")] * (arguments["chunks"] == 1)
    for mark, option, what, hint in marks:
        seen = [seen[0].strip() for text in arguments["text"].values if (seen := mark.search(text))]
        if seen:
            said = f"'text' is read as it stands, '{shortened(seen[0])}' as {what} too"
            found.append(UserError(said, hint=hint if option in family.told else ""))
    return found


def readers(cuts: Sequence[Cut] | dict[Cut, None]) -> list[str]:
    """Who cuts."""
    return list(dict.fromkeys(cut.reader for cut in cuts))


def warning(reader: str, cuts: Sequence[Cut], family: Family) -> UserError:
    """What one encoder leaves out of some texts: the first of them, and how many there are."""
    one, more = cuts[0], len({cut.text for cut in cuts}) - 1
    others = f", and so for {more} other text{'s' if more > 1 else ''}" if more else ""
    said = f"'text' is cut: {reader} reads {one.tokens} tokens of it, without '{shortened(one.words)}'{others}"
    return UserError(said, hint="'chunks' reads more of it" if "chunks" in family.told else "")


def shortened(words: str) -> str:
    """At most 80 characters, to the end of a word; one that is longer itself is cut."""
    return words if len(words) <= 80 else f"{words[:78].rpartition(' ')[0] or words[:77]}..."


@node("encoder.text", added=OPTIONS, cautions=cautions)
def encode_text(
    text: PerItem[str],
    model: Annotated[Model, Uses(*PARTS)],
    empty: Literal["model", "encode"] = "model",
    seconds: PerItem[float | None] = None,
    text_2: PerItem[str | None] = None,
    text_3: PerItem[str | None] = None,
    clip_skip: int = 0,
    weighting: Literal["none", "a1111"] = "none",
    chunks: int = 1,
) -> Conditioning:
    """A text as the model's denoiser reads it, encoded with all of the model's text encoders as its family does.

    states: [B, L, D], one for each token, padded and cut to the length that the model was trained with. Families that
    have them add a summary (pooled) and a mask.

    empty: how an empty text is encoded. "model" is what the model's own pipeline does without a negative prompt:
    Stable Diffusion XL takes zeros; "encode" encodes it like any other.

    seconds: how long the sound is, for models that are told it; the longest if not given.

    text_2, text_3: another text for the second or third encoder, where a model has several.

    clip_skip: how many of CLIP's layers are left out at the end, beyond those that the model itself leaves out.

    weighting: "a1111" reads (word), (word:1.3) and [word] as weights of A1111's web UI: a token's states times its
    weight, then each chunk at the mean that it had. A backslash before a bracket makes it text.

    chunks: a text is read in so many pieces of 75 tokens, each encoded alone, their states [B, chunks * 77, D] one
    after the other; the word BREAK begins a new one. Shorter texts get empty chunks; the summary is the first one's.

    Raises WiringError for an option that the model's family doesn't know, or whose value the encoders can't take.
    """
    family: Family = model["family"]
    second, third = (given(each, len(text)) for each in (text_2, text_3))
    check(model, family, (second, third), clip_skip, weighting, chunks)
    second_texts, third_texts = (own(text.values, each) for each in (second, third))
    texts = Texts(text.values, second_texts, third_texts, clip_skip, chunks, weighting == "a1111")
    lengths = [None] * len(text) if seconds is None else seconds.values
    found = family.lasting(model, family.encode(model, texts), lengths)
    said = zip(text.values, second, third, strict=True)
    blank = [empty == "model" and not any(each) for each in said]
    if not family.emptied or not any(blank):
        return found
    kept = torch.tensor([float(not each) for each in blank])
    fields = {name: getattr(found, name) for name in family.emptied}
    return found.replace(**{name: value * over_items(kept, value) for name, value in fields.items()})


def given(texts: PerItem[str | None] | None, count: int) -> list[str | None]:
    """An optional parameter's values."""
    return [None] * count if texts is None else texts.values


def own(texts: Sequence[str], others: Sequence[str | None]) -> list[str] | None:
    """The texts of another encoder: the item's own, or else its first text; None where no item has any."""
    if not any(other is not None for other in others):
        return None
    return [text if other is None else other for text, other in zip(texts, others, strict=True)]


def check(model: Model, family: Family, others: Sequence[Any], clip_skip: int, weighting: str, chunks: int) -> None:
    """Raise WiringError for options that the family or the model hasn't, and for numbers out of range."""
    second, third = (any(text is not None for text in each) for each in others)
    used = {"text_2": second, "text_3": third, "clip_skip": clip_skip}
    used |= {"weighting": weighting != "none", "chunks": chunks != 1}
    known = [option for option in OPTIONS if option in family.told and option not in missing(model)]
    for option, is_used in used.items():
        if is_used and option not in known:
            hint = f"it knows {', '.join(known)}" if known else "leave it out"
            raise WiringError(f"'{option}' is nothing that the encoders of '{model.label}' know", hint=hint)
    if clip_skip < 0:
        raise WiringError(f"'clip_skip' is a number of layers, not {clip_skip}", hint="0 leaves none out")
    if chunks < 1:
        raise WiringError(f"'chunks' is at least 1, not {chunks}", hint="1 reads what the model was trained with")


def missing(model: Model) -> list[str]:
    """The options for encoders that this model lacks: of a family with three, or the second alone."""
    found = [f"text_{n}" for n in (2, 3) if f"text_encoder_{n}" not in model.parts]
    return found if "text_encoder" in model.parts else ["text_2", "text_3"]
