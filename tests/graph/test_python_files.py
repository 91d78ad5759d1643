"""Nodes from a Python file beside the graph: allowed or not, keyed by their code, and on workers."""

import pytest
from small import SMALL, Lab

from flowgen.cli import flowgen as command
from flowgen.errors import UserError
from flowgen.experiment import load
from flowgen.node import node, node_type
from flowgen.plan.keying import as_text

CODE = '''\
"""Guidance."""
from flowgen.values import PerItem, Prediction


def rescaled(cond: Prediction, uncond: Prediction, scale: PerItem[float] = 2.0) -> Prediction:
    """Plain classifier-free guidance."""
    return uncond + scale * (cond - uncond)  # as usual
'''
GRAPH = SMALL.replace("type: guidance.cfg", "type: ./own.py:rescaled").replace("[image, clip, fid]", "[image]")


@pytest.fixture
def lab(tmp_path, zoo_folder):
    (tmp_path / "own.py").write_text(CODE)
    return Lab(tmp_path, zoo_folder)


def opened(lab, text=GRAPH, **options):
    (lab.folder / "g.yaml").write_text(text)
    return load(lab.folder / "g.yaml", imports=[lab.folder / "own.py"], **options)


def keys(lab):
    return {as_text(key) for key in opened(lab).plan(lab.store).keys["image"].values.ravel()}


def test_nothing_runs_that_was_not_allowed(lab):
    (lab.folder / "own.py").write_text("raise SystemExit('it ran')")
    (lab.folder / "other.py").write_text(CODE)
    for imports in ([], [lab.folder / "other.py"]):
        (lab.folder / "g.yaml").write_text(GRAPH)
        experiment = load(lab.folder / "g.yaml", imports=imports)
        with pytest.raises(UserError, match=r"g\.yaml:17:18: the graph asks to run code from '\./own\.py'") as caught:
            experiment.check()
        assert "--import ./own.py" in caught.value.hint


def test_the_shapes_are_blamed_only_where_they_may_be_to_blame(lab):
    sum_ = "uncond + scale * (cond - uncond)"
    for wrong, expected in (
        ("{}['a']", "'guided' (py:rescaled) fails with KeyError: 'a'"),
        ("cond.mine", "'guided' (py:rescaled) fails with AttributeError: 'Prediction' object has no"),
        ("cond.data.reshape(7)", "'guided' (py:rescaled) doesn't accept what it is given: "),
        ("exit('no file')", "'guided' (py:rescaled) calls exit: no file"),
    ):
        (lab.folder / "own.py").write_text(CODE.replace(sum_, wrong))
        with pytest.raises(UserError) as caught:
            opened(lab).check()
        assert caught.value.message.startswith(expected)
        assert ("shapes or dtypes" in caught.value.hint) == ("doesn't accept" in expected)


def test_the_same_computation_gives_the_same_pictures(lab, zoo_folder, tmp_path):
    mine = opened(lab).run(lab.store, lab.runs).results.image
    (tmp_path / "standard").mkdir()
    standard = Lab(tmp_path / "standard", zoo_folder).run(GRAPH.replace("./own.py:rescaled", "guidance.cfg"))
    assert abs(mine - standard.results.image).max() < 1e-4


def test_code_is_the_version_and_comments_layout_and_place_are_not(lab):
    before = keys(lab)
    file = lab.folder / "own.py"
    file.write_text(CODE.replace("  # as usual", "").replace("Plain", "Simple").replace("\n\n\n", "\n\n\n\n# more\n"))
    assert keys(lab) == before
    moved = lab.folder / "deep"
    moved.mkdir()
    (moved / "renamed.py").write_text(CODE)
    text = GRAPH.replace("./own.py", "./deep/renamed.py")
    (lab.folder / "g.yaml").write_text(text)
    plan = load(lab.folder / "g.yaml", imports=[moved / "renamed.py"]).plan(lab.store)
    assert {as_text(key) for key in plan.keys["image"].values.ravel()} == before
    file.write_text(CODE.replace("uncond + scale", "uncond + 0.5 * scale"))
    assert not keys(lab) & before


def test_workers_get_the_code(lab):
    few = GRAPH.replace("seed: {range: 3}", "seed: [0]")
    here = opened(lab, few).run(lab.store, lab.runs).results.load()
    there = opened(lab, few).run(lab.folder / "other", lab.runs, workers=1).results.load()
    assert abs(here.image - there.image).max() < 1e-4


def test_a_decorated_node_keeps_what_it_says_of_itself(lab):
    decorated = CODE.replace("def rescaled", '@node("own.rescaled", unused=nothing)\ndef rescaled').replace(
        "from flowgen.values", "from flowgen.node import node\nfrom flowgen.values"
    )
    decorated = decorated.replace(
        "\n\n\n@node", "\n\n\ndef nothing(p):\n    return {'uncond'} if p['scale'] == 1 else set()\n\n\n@node"
    )
    (lab.folder / "own.py").write_text(decorated)
    plan = opened(lab, GRAPH.replace("guidance: [1, 4]", "guidance: [1]")).plan(lab.store)
    assert plan.nodes["empty"].compute == 0


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def rescaled(:\n", r"own\.py:1: not valid Python"),
        ("1 / 0\n", r"own\.py fails when it is run: ZeroDivisionError"),
        ("import sys\nsys.exit('no such file')\n", r"own\.py calls exit: no such file, when it is run"),
        (CODE.replace("def rescaled", "def rescale"), r"own\.py has no function or class 'rescaled'\n  did you mean"),
        ("class rescaled:\n    cond: int\n", "can't be a node: the class rescaled is neither a Loop nor a Reduce"),
        (CODE.replace(") -> Prediction", ")"), r"own\.py: 'rescaled' can't be a node: .* which value it returns"),
    ],
)  # fmt: skip
def test_wrong_files_are_said(lab, code, said):
    (lab.folder / "own.py").write_text(code)
    with pytest.raises(UserError, match=said) as caught:
        opened(lab).check()
    assert str(caught.value.at).endswith("g.yaml:17:18")


def test_the_command_line_allows_a_file(lab, monkeypatch):
    from click.testing import CliRunner

    monkeypatch.chdir(lab.folder)
    (lab.folder / "g.yaml").write_text(GRAPH)
    with pytest.raises(UserError, match="which you haven't allowed"):
        CliRunner().invoke(command, ["check", "g.yaml"], catch_exceptions=False)
    done = CliRunner().invoke(command, ["check", "g.yaml", "--import", "own.py"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "py:rescaled" in done.output


@pytest.mark.parametrize("kind", ["scheduler.ddim", "metric.fid"])
def test_loops_and_reductions_are_always_stored(kind):
    with pytest.raises(TypeError, match="are always stored: it is no function"):
        node("own.loop", stored=False)(node_type(kind).code)
