"""Options of encoder.text against diffusers' pipelines and against what is published of prompt weights."""

import pytest
import tiny_models
import torch
from driving import close, opened
from flowgen_nodes.encoders.text import encode_text, shortened
from flowgen_nodes.families.prompts import weighted
from flowgen_nodes.models.folder import read_model
from test_docs import blocks

from flowgen.errors import UserError, WiringError
from flowgen.experiment import load
from flowgen.values import PerItem

TEXTS = ["a red cat", "four blue dogs, seven"]
OTHERS = ["the black house", "one"]
THIRDS = ["two", "three yellow digits"]
LONG = " ".join(["red"] * 70 + ["blue"] * 5 + ["yellow", "cat"])
"""77 tokens of the tiny tokenisers, a word each"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiny folders whose last normalisation has weights: states as it leaves them at first have the mean 0."""
    found = tmp_path_factory.mktemp("tiny")
    pipe = tiny_models.build("sd1")
    with torch.no_grad():
        for number, weight in enumerate(pipe.text_encoder.final_layer_norm.parameters()):
            weight.copy_(torch.rand(weight.shape, generator=torch.Generator().manual_seed(number)))
    pipe.save_pretrained(found / "tiny-sd1")
    return found


def read(name, folders):
    return read_model(tiny_models.folder(name, folders), name)


def pipeline(name, folders):
    found = tiny_models.pipeline(tiny_models.folder(name, folders))
    if hasattr(found.text_encoder, "final_layer_norm"):  # transformers 5 dropped a name that diffusers' pipeline uses
        object.__setattr__(found.text_encoder, "text_model", found.text_encoder)
    return found


def encode(model, texts, **options):
    options = {name: PerItem(value) if isinstance(value, list) else value for name, value in options.items()}
    with opened():
        return encode_text(PerItem(texts), model, **options)


@torch.no_grad()  # with gradients, other kernels round otherwise
def theirs(pipe, texts, **options):
    """What a pipeline encodes: states, and the summary where there is one."""
    if "StableDiffusionPipeline" in type(pipe).__name__:
        return pipe.encode_prompt(texts, "cpu", 1, False, **options)[0], None
    if "Flux" not in type(pipe).__name__:
        options |= {"do_classifier_free_guidance": False}
    if "Diffusion3" in type(pipe).__name__:
        options = {"prompt_2": None, "prompt_3": None, **options}
    found = pipe.encode_prompt(texts, **options)
    return found[0], found[1 if "Flux" in type(pipe).__name__ else 2]


@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl", "sd3"])
def test_clip_skip(folders, name, skip):
    mine = encode(read(name, folders), TEXTS, clip_skip=skip)
    states, pooled = theirs(pipeline(name, folders), TEXTS, clip_skip=skip)
    assert close(mine.states, states, 1e-5)
    assert pooled is None or close(mine.pooled, pooled, 1e-6)
    if skip:
        assert not close(mine.states, encode(read(name, folders), TEXTS).states, 1e-2)


@pytest.mark.parametrize(("name", "others"), [("sdxl", 1), ("sd3", 2), ("flux", 1)])
def test_a_text_for_each_encoder(folders, name, others):
    said = {"2": OTHERS, "3": THIRDS} if others == 2 else {"2": OTHERS}
    mine = encode(read(name, folders), TEXTS, **{f"text_{n}": texts for n, texts in said.items()})
    states, pooled = theirs(pipeline(name, folders), TEXTS, **{f"prompt_{n}": texts for n, texts in said.items()})
    assert close(mine.states, states, 1e-5)
    assert close(mine.pooled, pooled, 1e-6)


def test_an_item_without_a_text_of_its_own_has_the_first(folders):
    model = read("sdxl", folders)
    mine = encode(model, [*TEXTS, "", ""], text_2=[OTHERS[0], None, None, "one"])
    states, pooled = theirs(pipeline("sdxl", folders), [*TEXTS, "", ""], prompt_2=[OTHERS[0], TEXTS[1], "", "one"])
    assert close(mine.states[[0, 1, 3]], states[[0, 1, 3]], 1e-6)
    assert close(mine.pooled[[0, 1, 3]], pooled[[0, 1, 3]], 1e-6)
    assert mine.states[2].abs().max() == 0  # nothing at all is said


PUBLISHED = {
    "normal text": [("normal text", 1.0)],
    "an (important) word": [("an ", 1.0), ("important", 1.1), (" word", 1.0)],
    "(unbalanced": [("unbalanced", 1.1)],
    r"\(literal\]": [("(literal]", 1.0)],
    "(unnecessary)(parens)": [("unnecessaryparens", 1.1)],
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": [
        ("a ", 1.0),
        ("house", 1.573),
        (" ", 1.1),
        ("on", 1.0),
        (" a ", 1.1),
        ("hill", 0.55),
        (", sun, ", 1.1),
        ("sky", 1.4641),
        (".", 1.1),
    ],
}
"""The examples in the docstring of ``parse_prompt_attention`` in A1111's stable-diffusion-webui."""


@pytest.mark.parametrize("text", PUBLISHED)
def test_weights_are_read_as_published(text):
    assert [words for words, _ in weighted(text)] == [words for words, _ in PUBLISHED[text]]
    assert [weight for _, weight in weighted(text)] == pytest.approx([weight for _, weight in PUBLISHED[text]])


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("stray) brackets] and: 3", [("stray) brackets] and: 3", 1.0)]),
        ("a:1.3) b", [("a:1.3) b", 1.0)]),
        (r"\\ and \n", [(r"\ and n", 1.0)]),
        ("(a: -0.5 )", [("a", -0.5)]),
        ("[a [b]]", [("a ", 1 / 1.1), ("b", 1 / 1.1**2)]),
        ("", []),
    ],
)
def test_odd_weights(text, pieces):
    assert [words for words, _ in weighted(text)] == [words for words, _ in pieces]
    assert [weight for _, weight in weighted(text)] == pytest.approx([weight for _, weight in pieces])


def emphasis(encoder, tokenizer, words, weights, take):
    """The wiki's description in float64: states times weights, then the mean of all states as it was.

    ``words`` are tokens; whatever stands around them has weight 1.
    """
    said = tokenizer(" ".join(words), padding="max_length", return_tensors="pt")
    states = take(encoder.double()(said.input_ids, output_hidden_states=True))
    factors = torch.ones(77, dtype=torch.float64)
    factors[1 : 1 + len(words)] = torch.tensor(weights, dtype=torch.float64)
    told = states * factors[:, None]
    return told * (states.mean() / told.mean())


WEIGHTED = ["a (red:1.5) [cat] ((on)) the house", "a red cat"]
WORDS = [["a", "red", "cat", "on", "the", "house"], ["a", "red", "cat"]]
WEIGHTS = [[1, 1.5, 1 / 1.1, 1.21, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_weights_of_tokens(folders, name):
    mine = encode(read(name, folders), WEIGHTED, weighting="a1111")
    pipe = pipeline(name, folders)
    encoders = [(pipe.text_encoder, pipe.tokenizer)]
    encoders += [(pipe.text_encoder_2, pipe.tokenizer_2)] if name == "sdxl" else []
    with torch.no_grad():
        for row, (words, weights) in enumerate(zip(WORDS, WEIGHTS, strict=True)):
            wanted = [
                emphasis(*each, words, weights, lambda t: t.last_hidden_state if name == "sd1" else t.hidden_states[-2])
                for each in encoders
            ]
            assert close(mine.states[row], torch.cat(wanted, -1)[0].float(), 1e-5)
    plain = encode(read(name, folders), [" ".join(words) for words in WORDS])
    assert not close(mine.states[0], plain.states[0], 1e-2)
    assert torch.equal(mine.states[1], plain.states[1])
    assert mine.pooled is None or close(mine.pooled, plain.pooled, 1e-6)


def test_an_escaped_bracket_is_text(folders):
    model = read("sd1", folders)
    mine = encode(model, [r"a \(red\) cat"], weighting="a1111")
    assert torch.equal(mine.states, encode(model, ["a (red) cat"]).states)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [(LONG, [LONG[: -len(" yellow cat")], "yellow cat", ""]), ("a red BREAK the cat", ["a red", "the cat", ""])],
)
@pytest.mark.parametrize("name", ["sd2", "sdxl"])
def test_chunks_are_encoded_apart(folders, name, text, pieces):
    """States of the pieces one after the other, the first one's summary; "!" pads the second tokeniser's."""
    mine = encode(read(name, folders), [text, "one"], chunks=3)
    states, pooled = theirs(pipeline(name, folders), pieces)
    assert mine.states.shape[:2] == (2, 3 * 77)
    assert close(mine.states[0], states.flatten(0, 1), 1e-6)
    assert pooled is None or close(mine.pooled[0], pooled[0], 1e-6)


def test_weights_in_chunks_keep_each_mean(folders):
    model = read("sd1", folders)
    mine = encode(model, ["a red BREAK (the:3) cat"], weighting="a1111", chunks=2)
    assert close(mine.states[:, :77], encode(model, ["a red"]).states, 1e-6)
    assert close(mine.states[:, 77:], encode(model, ["(the:3) cat"], weighting="a1111").states, 1e-6)


GRAPH = """\
flowgen: 1
sweep: {{prompt: [a red cat, {long}]}}
defaults: {{model: $m}}
nodes:
  m: {{type: model, from: {folder}}}
  text: {{type: encoder.text, text: $prompt{options}}}
  empty: {{type: encoder.text, text: ""}}
  noise: {{type: noise, seed: 0}}
  sampler: {{type: scheduler.{sampler}, start: $noise, prediction: $guided, steps: 2}}
  cond: {{type: denoiser, x: $sampler.x, context: $text}}
  uncond: {{type: denoiser, x: $sampler.x, context: $empty}}
  guided: {{type: guidance.cfg, cond: $cond, uncond: $uncond, scale: 4}}
outputs: [sampler]
"""


def graph(tmp_path, folder, options="", sampler="ddim", text=LONG):
    file = tmp_path / "g.yaml"
    file.write_text(GRAPH.format(folder=folder, options=options, long=text, sampler=sampler))
    return load(file)


def test_long_and_short_conditions_guide_one_another(tmp_path, folders):
    """Conditions of two lengths are asked apart, and whatever runs beside an item changes nothing."""
    found = []
    for batch in (1, 2):
        experiment = graph(tmp_path, tiny_models.folder("sd1", folders), ", chunks: 2")
        run = experiment.run(tmp_path / f"store{batch}", tmp_path / "runs", batch=batch)
        found.append(torch.tensor(run.results.load()["sampler"].values))
    assert close(found[0], found[1], 1e-5)
    assert not close(found[0][:1], found[0][1:], 1e-3)
    cut = graph(tmp_path, tiny_models.folder("sd1", folders)).run(tmp_path / "store", tmp_path / "runs")
    assert not close(found[0], torch.tensor(cut.results.load()["sampler"].values), 1e-3)


def test_what_is_cut_is_said(tmp_path, folders):
    def warnings(name, options="", sampler="ddim"):
        return graph(tmp_path, tiny_models.folder(name, folders), options, sampler).check().warnings

    (warning,) = warnings("sd1")
    assert "g.yaml:6:" in warning
    assert "'text' is cut: CLIP reads 77 tokens of it, without 'yellow cat'" in warning
    assert "'chunks' reads more of it" in warning
    assert "other text" not in warning
    assert warnings("sd1", ", chunks: 2") == []
    (warning,) = warnings("sd1", ", weighting: a1111")
    assert "without 'yellow cat'" in warning
    (warning,) = warnings("flux", sampler="euler")  # T5 reads 512
    assert "CLIP reads 77 tokens of it, without 'yellow cat'" in warning
    assert "chunks" not in warning


def test_weights_that_are_not_read_are_said(tmp_path, folders):
    def warnings(text, options=""):
        return graph(tmp_path, tiny_models.folder("sd1", folders), options, text=text).check().warnings

    (warning,) = warnings("a (red:1.3) cat")
    assert "g.yaml:6:" in warning
    assert "'(red:1.3)' as words too" in warning
    assert "'weighting: a1111' reads weights" in warning
    assert warnings("a (red:1.3) cat", ", weighting: a1111") == []
    assert warnings("a (red) cat (one)") == []
    (warning,) = warnings("a red cat BREAK two dogs")
    assert "g.yaml:6:" in warning
    assert "'text' is read as it stands, 'BREAK' as a word too\n  'chunks: 2' begins a new piece there" in warning
    assert warnings("a red cat BREAK two dogs", ", chunks: 2") == []
    assert warnings("a red cat BREAKFAST break") == []


def test_what_is_shown_of_a_long_text_ends_at_a_word():
    words = " ".join(["word"] * 15)
    assert shortened(words) == words
    assert shortened(f"{words} 12 then more") == f"{words} 12..."  # 77 characters and the dots
    assert shortened(f"{words} and longer") == f"{words}..."
    assert shortened("x" * 81) == "x" * 77 + "..."


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("sd1", {"text_2": ["one"]}, "'text_2' is nothing that the encoders of 'sd1' know"),
        ("sdxl", {"text_3": ["one"]}, "'text_3'"),
        ("sdxl-refiner", {"text_2": ["one"]}, "'text_2'"),
        ("sd3-without-t5", {"text_3": ["one"]}, "'text_3'"),
        ("flux", {"clip_skip": 1}, "'clip_skip' .* know\n  it knows text_2"),
        ("wan", {"clip_skip": 1}, "'clip_skip' .* know\n  leave it out"),
        ("pixart", {"chunks": 2}, "'chunks'"),
        ("sd3", {"weighting": "a1111"}, "'weighting'"),
        ("sd1", {"clip_skip": 3}, "'clip_skip' leaves out more than the encoder's 2 layers\n  2 at most"),
        ("sd1", {"clip_skip": -1}, "'clip_skip' is a number of layers"),
        ("sd1", {"chunks": 0}, "'chunks' is at least 1"),
    ],
)
def test_options_that_a_model_does_not_know(folders, name, options, said):
    with pytest.raises(WiringError, match=said):
        encode(read(name, folders), ["a cat"], **options)


def test_the_error_stands_at_the_option(tmp_path, folders):
    with pytest.raises(UserError, match=r"g.yaml:6:\d+: 'clip_skip' is nothing"):
        graph(tmp_path, tiny_models.folder("flux", folders), ", clip_skip: 2").check()


def test_what_the_page_shows_is_sound(tmp_path, folders):
    (nodes,) = blocks("docs/prompts.md", "yaml")
    file = tmp_path / "g.yaml"
    head = "flowgen: 1\ninputs: {prompt: a cat, style: one, essay: two}\ndefaults: {model: $m}\nnodes:\n"
    lines = [f"m: {{type: model, from: {tiny_models.folder('sdxl', folders)}}}", *nodes.splitlines()]
    file.write_text(head + "".join(f"  {line}\n" for line in lines) + "outputs: [text, loud, long]\n")
    found = load(file).check()
    assert found.outcomes["long"][0].outputs["value"].states.shape == (2, 3 * 77, 64)
    assert found.warnings == []
