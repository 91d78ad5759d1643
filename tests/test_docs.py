"""What README and docs show is run."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from flowgen.cli import flowgen as command
from flowgen.experiment import Run, load

ROOT = Path(__file__).parents[1]


def blocks(file: str, language: str) -> list[str]:
    """A page's code blocks of a language."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(file: str) -> list[str]:
    """The flowgen commands of a page's indented blocks."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith("    flowgen ")]


@pytest.mark.slow
def test_the_readme_from_its_first_command_to_its_last(tmp_path, monkeypatch, capsys):
    (tmp_path / "graphs").symlink_to(ROOT / "graphs")
    monkeypatch.chdir(tmp_path)
    outputs = []
    for line in commands("README.md"):
        result = CliRunner().invoke(command, shlex.split(line)[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        if " run " in line:
            outputs.append(result.output)
            assert (tmp_path / result.output.strip().splitlines()[-1] / "report.html").is_file()
    assert "computed 3884 items" in outputs[0]
    assert "computed 0 items" in outputs[1]
    (tmp_path / "readme.py").write_text("\n".join(blocks("README.md", "python")))
    runpy.run_path("readme.py")
    assert "fid" in capsys.readouterr().out


def test_a_node_of_your_own(monkeypatch, tmp_path, capsys):
    node, use = blocks("docs/own-nodes.md", "python")
    (tmp_path / "sharpness.py").write_text(node)
    assert len([line for line in node.splitlines() if line.strip()]) <= 10
    (tmp_path / "use.py").write_text(use)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = runpy.run_path("use.py")["run"].results.sharp
    assert found.sizes == {"seed": 4, "guidance": 2}
    assert (found.values > 0).all()
    sys.modules.pop("sharpness")


def test_every_example_is_sound():
    """Those of models that ship; test_family_graphs.py has the others."""
    for graph in sorted(path for path in (ROOT / "graphs").glob("*.yaml") if "zoo:" in path.read_text()):
        result = CliRunner().invoke(command, ["check", str(graph)], catch_exceptions=False)
        assert result.exit_code == 0
        assert "is sound" in result.output


@pytest.mark.slow
def test_the_experiment_computes_what_is_new(tmp_path, monkeypatch, capsys):
    (tmp_path / "graphs").symlink_to(ROOT / "graphs")
    monkeypatch.chdir(tmp_path)
    for text in blocks("docs/experiments.md", "yaml"):
        (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text)
    counts, last = [], ""
    for line in commands("docs/experiments.md"):
        result = CliRunner().invoke(command, shlex.split(line)[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        counts += [int(n) for n in re.findall(r"^computed (\d+) items", result.output, flags=re.MULTILINE)]
        last = result.output if " plan " in line else last
    # 16 images a scale: the sweep; one more scale; a metric of 48 images; guidance from 40% for two scales of three
    assert counts == [8 + 1 + 4 * 48 + 3, 4 * 16 + 1, 48 + 3, 5 * 32 + 2 + 2]
    page = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    assert all(f"{count} items" in page for count in counts)
    assert "6 of " in last  # distances and means of the red images at three scales
    (tmp_path / "look.py").write_text("\n".join(blocks("docs/experiments.md", "python")))
    runpy.run_path("look.py")
    assert "guidance" in capsys.readouterr().out


def test_the_settings_that_configuration_shows(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("FLOWGEN_DEVICE", "cpu")
    (line,) = commands("docs/configuration.md")
    shown = CliRunner().invoke(command, shlex.split(line)[1:], catch_exceptions=False).output
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8").splitlines()
    rows = [text.split() for text in page if re.match(r"    (store|batch|device) ", text)]
    assert len(rows) == 3
    assert all(row in [text.split() for text in shown.splitlines()] for row in rows)


def run_example(name: str, folder: Path, **where: object) -> Run:
    """A part of an example, run in a folder."""
    return load(ROOT / "graphs" / name, where=where).run(folder / "store", folder / "runs")


def test_guidance_intervals_share_the_steps_that_agree(tmp_path):
    run = run_example("02_guidance_interval.yaml", tmp_path, digit=["three"], seed=[0])
    # Denoiser rows of 20 steps, by hand. Guided are: all 0-19, early 0-7, middle 4-13, late 12-19, none never. A state
    # needs one conditional row however many intervals are in it, and an unconditional one if any of them guides.
    # step 0: one state, 2. 1-3: {all, early} 2, the rest 1. 4: the rest parts, 2 + 2. 5-7: 2, middle 2, {late, none} 1.
    # 8: early leaves all, 2 + 2 + 1. 9-11: 2 + 1 + 2 + 1. 12: late leaves none, 2 + 1 + 2 + 2. 13: 2 + 1 + 2 + 2 + 1.
    # 14-19: 2 + 1 + 1 + 2 + 1. Each interval alone would take 5 * 20 + 20 + 8 + 10 + 8 = 146.
    assert run.tally.calls()["denoiser"][1] == 2 + 3 * 3 + 4 + 3 * 5 + 5 + 3 * 6 + 7 + 8 + 6 * 7 == 110
    assert run.results.clip_mean.interval.values.tolist() == ["all", "early", "middle", "late", "none"]


def test_the_table_of_steps_and_eta(tmp_path):
    run = run_example("03_ddim_eta_steps.yaml", tmp_path, colour=["red"], digit=["three"], steps=[5, 10], eta=[0, 1])
    assert run.tally.calls()["denoiser"][1] == 4 * (5 + 10) * 2  # seeds, steps, eta: one prediction a step, no guidance
    assert run.results.fid.dims == ("steps", "eta")
    assert run.results.fid.notnull().all()


def test_schedulers_are_compared_at_equal_cost(tmp_path):
    run = run_example("10_schedulers_at_equal_cost.yaml", tmp_path, calls=[5, 10], seed=[0])
    # euler and dpm_2m spend all calls, heun an odd number; and the reference
    assert run.tally.calls()["denoiser"][1] == 2 * (5 + 10) + (5 + 9) + 200
    assert (run.results.error.sel(calls=10) < run.results.error.sel(calls=5)).all()


def test_what_comes_before_a_change_of_sampler_is_computed_once(tmp_path):
    run = run_example("09_late_scheduler_change.yaml", tmp_path)
    # for each seed 16 steps, 8 of them for both changes; then 12 and 4 for each of three samplers
    assert run.tally.calls()["denoiser"][1] == 2 * (16 + 3 * (12 + 4)) == 128
    assert "128 calls of the denoiser" in (ROOT / "docs/experiments.md").read_text(encoding="utf-8")


def test_how_far_a_precision_is_from_another(tmp_path):
    run = run_example("20_how_a_model_runs.yaml", tmp_path, digit=["three"])
    texts = run.tally.computed("text") + run.tally.computed("exact/text")
    assert texts == 3  # the kernel of attention is the denoiser's affair
    error = run.results.error.squeeze()
    assert error.sel(dtype="float32", kernel="default") == 0
    assert 0 < error.sel(dtype="float32", kernel="math") < 1e-4
    assert (error.sel(dtype=["float16", "bfloat16"]) > 1e-4).all()
    assert (error.sel(dtype="bfloat16") > error.sel(dtype="float16")).all()
