"""What is known is never computed again; what changed is, and nothing else."""

import shutil

import pytest
from small import SMALL, Lab, computed, to_compute

import flowgen.execute.task
from flowgen.plan.keying import as_text


@pytest.fixture
def lab(tmp_path, zoo_folder):
    return Lab(tmp_path, zoo_folder)


def keys(plan):
    """Every node's distinct keys, outside loop bodies."""
    return {name: sorted({as_text(k) for k in plan.keys[name].values.ravel()}) for name in plan.nodes}


def test_the_second_run_computes_nothing(lab, monkeypatch):
    first = lab.run()
    assert computed(first) == {
        "text": 2, "empty": 1, "sampler": 12, "image": 12, "clip": 12, "features": 12, "fid": 2,
    }  # fmt: skip

    def never(*arguments, **options):
        raise AssertionError("a run computed although everything was known")

    monkeypatch.setattr(flowgen.execute.task, "compute", never)
    monkeypatch.setattr(flowgen.runner, "client", never)
    assert to_compute(lab.plan()) == {}
    second = lab.run()
    assert computed(second) == {}
    assert second.results.equals(first.results)


def test_a_new_guidance_value_costs_its_own_items(lab):
    lab.run()
    more = ("guidance: [1, 4]", "guidance: [1, 2.5, 4]")
    expected = {"sampler": 6, "image": 6, "clip": 6, "features": 6, "fid": 1}
    assert to_compute(lab.plan(SMALL, more)) == expected
    assert computed(lab.run(SMALL, more)) == expected


def test_other_steps_leave_text_and_noise_alone(lab):
    before = keys(lab.plan())
    after = keys(lab.plan(SMALL, ("steps: 4", "steps: 6")))
    assert {name for name in before if before[name] != after[name]} == {"sampler", "image", "clip", "features", "fid"}


def test_names_order_and_places_are_not_in_keys(lab, tmp_path, zoo_folder):
    before = keys(lab.plan())
    renamed = SMALL.replace("  uncond:", "  negative:").replace("$uncond", "$negative")
    renamed = renamed.replace("  guided:", "  combined:").replace("$guided", "$combined")
    lines = renamed.splitlines(keepends=True)
    nodes = lines[7:-1]
    shuffled = "".join([*lines[:7], *reversed(nodes), lines[-1]])
    moved = tmp_path / "elsewhere" / "deep"
    shutil.copytree(zoo_folder, moved)
    found = lab.plan(shuffled.replace("ZOO/", "elsewhere/deep/"), name="other.yaml")
    assert keys(found) == before


def test_scale_one_needs_no_unconditional_prediction(lab):
    found = lab.plan(SMALL, ("guidance: [1, 4]", "guidance: [1]"))
    assert "empty" not in to_compute(found)
    run = lab.run(SMALL, ("guidance: [1, 4]", "guidance: [1]"))
    assert run.tally.calls()["denoiser"] == (4, 24)


def flipped(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("file", "below"),
    [
        ("digits/unet/diffusion_pytorch_model.safetensors", {"sampler", "image", "clip", "features", "fid"}),
        ("digits/vae/diffusion_pytorch_model.safetensors", {"image", "clip", "features", "fid"}),
        ("digits/text_encoder/model.safetensors", {"text", "empty", "sampler", "image", "clip", "features", "fid"}),
        ("digits-clip/model.safetensors", {"clip"}),
        ("digits-classifier/model.safetensors", {"features", "real", "fid"}),
    ],
)
def test_one_byte_of_weights_changes_exactly_the_keys_below(lab, tmp_path, zoo_folder, file, below):
    before = keys(lab.plan())
    shutil.copytree(zoo_folder, tmp_path / "flipped")
    flipped(tmp_path / "flipped" / file)
    after = keys(lab.plan(SMALL.replace("ZOO/", "flipped/")))
    assert {name for name in before if before[name] != after[name]} == below


@pytest.mark.parametrize(
    ("change", "below"),
    [
        (("{range: 3}", "[7]"), {"noise", "sampler", "image", "clip", "features", "fid"}),
        (("steps: 4", "steps: 4, eta: 0.5"), {"sampler", "image", "clip", "features", "fid"}),
        (('text: ""', 'text: "blurry"'), {"empty", "sampler", "image", "clip", "features", "fid"}),
        (("text: $prompt}\n  features", "text: a}\n  features"), {"clip"}),
        (("over: [prompt, seed]", "over: [prompt]"), {"fid"}),
    ],
)
def test_a_parameter_changes_exactly_the_keys_below(lab, change, below):
    before, after = keys(lab.plan()), keys(lab.plan(SMALL, change))
    assert {name for name in before if before[name] != after[name]} == below


def test_a_new_version_of_a_node_changes_the_keys_below(lab, monkeypatch):
    import dataclasses

    import flowgen.node.registry as registry

    before = keys(lab.plan())
    newer = dataclasses.replace(registry.node_type("decoder.vae"), version=2)
    monkeypatch.setitem(registry._TYPES, "decoder.vae", newer)
    after = keys(lab.plan())
    assert {name for name in before if before[name] != after[name]} == {"image", "clip", "features", "fid"}


def test_a_changed_body_changes_the_loop_alone(lab):
    before = keys(lab.plan())
    scheduled = ("scale: $guidance", "scale: {during: [0, 0.5], value: $guidance, else: 1}")
    after = keys(lab.plan(SMALL, scheduled))
    assert {name for name in before if before[name] != after[name]} == {"sampler", "image", "clip", "features", "fid"}


def test_planning_computes_nothing(lab, monkeypatch):
    monkeypatch.setattr(flowgen.execute.task, "compute", None)
    monkeypatch.setattr(flowgen.execute.task, "run_parcel", None)
    assert lab.plan().compute == 53
