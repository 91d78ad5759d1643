"""Where settings come from, in which order, and what is said of wrong ones."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from small import SMALL, Lab

from flowgen.cli import flowgen as command
from flowgen.config import resolve
from flowgen.config.kinds import size
from flowgen.errors import UserError
from flowgen.experiment import load

PROJECT = 'store = "cache"\nbatch = 8\nworkers = 2\n'


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A user's folder of settings, and a project's folder with a graph's folder in it, which is the current one."""
    user, graphs = tmp_path / "home" / "flowgen", tmp_path / "project" / "graphs"
    user.mkdir(parents=True)
    graphs.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(user.parent))
    monkeypatch.chdir(graphs)
    return user / "flowgen.toml", graphs.parent / "flowgen.toml"


def test_each_source_wins_over_the_next(places, monkeypatch):
    user, project = places
    assert resolve().batch is None
    user.write_text("# mine\nbatch = 4\ndevice = 'cpu'\n")
    assert (resolve().batch, resolve().found["batch"].source) == (4, f"{user}:2")
    project.write_text(PROJECT)
    assert (resolve().batch, resolve().found["batch"].source) == (8, f"{project}:2")
    assert resolve().device == "cpu"
    monkeypatch.setenv("FLOWGEN_BATCH", "16")
    assert (resolve().batch, resolve().found["batch"].source) == (16, "FLOWGEN_BATCH")
    found = resolve(None, {"batch": 32}).found["batch"]
    assert (found.value, found.source) == (32, "--batch")
    assert resolve().found["runs"].source == "default"


def test_paths_in_a_file_are_relative_to_it_and_in_a_variable_to_the_current_folder(places, monkeypatch):
    _, project = places
    project.write_text(PROJECT)
    assert resolve().store == project.parent / "cache"
    monkeypatch.setenv("FLOWGEN_STORE", "here")
    assert resolve().store == Path("here")
    monkeypatch.setenv("FLOWGEN_STORE", "~/there")
    assert resolve().store == Path("~/there").expanduser()


def test_a_store_may_be_a_url(places, monkeypatch):
    user, _ = places
    user.write_text("store = 's3://bucket/mine/'\n")
    assert resolve().store == "s3://bucket/mine"
    monkeypatch.setenv("FLOWGEN_STORE", "gs://bucket/a/b")
    assert resolve().store == "gs://bucket/a/b"
    monkeypatch.setenv("FLOWGEN_STORE", "az://")
    with pytest.raises(UserError, match=r"FLOWGEN_STORE: 'store' takes a path or a URL"):
        resolve()


def test_a_graphs_folder_is_sought_before_the_current_one(places, tmp_path):
    _, project = places
    project.write_text(PROJECT)
    other = tmp_path / "other" / "deep"
    other.mkdir(parents=True)
    assert resolve(other).batch == 8
    (other.parent / "flowgen.toml").write_text("batch = 3\n")
    assert resolve(other).batch == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bacth = 3", "3:1: unknown setting 'bacth'\n  did you mean 'batch'?"),
        ("batch = 0", "3:1: 'batch' takes a whole number of at least 1, not 0"),
        ("batch = true", "3:1: 'batch' takes a whole number of at least 1, not True"),
        ("batch = 2.5", "3:1: 'batch' takes a whole number of at least 1, not 2.5"),
        ("workers = -1", "3:1: 'workers' takes a whole number of at least 0, not -1"),
        ("  store = 7", "3:3: 'store' takes a path, not 7"),
        ("dtype = 'half'", "3:1: 'dtype' takes float32, float16 or bfloat16, not 'half'"),
        ("device = 'CUDA 1'", "3:1: 'device' takes cpu, cuda"),
        ("[store]\nx = 1", "3:2: 'store' takes a path, not {'x': 1}"),
        ("batch = ", "3:9: not TOML: Invalid value"),
        ("trust = ['/']", "3:1: unknown setting 'trust'\n  it belongs in your own file"),
        ("store_limit = '1GB'", "3:1: this file may not set 'store_limit' before you trust its folder"),
        ("import = ['a.py']", "3:1: this file may not set 'import' before you trust its folder"),
        ("cluster = 'tls://host:1'", "3:1: this file may not set 'cluster' before you trust its folder"),
        ("cluster = 7", "3:1: 'cluster' takes tcp://HOST:PORT, tls://HOST:PORT, gpus or a file, not 7"),
        ("tls = 'certificates'", "3:1: this file may not set 'tls' before you trust its folder"),
        ("wait = '2 days'", "3:1: 'wait' takes seconds, or a time as 30s, 10m or 2h, not '2 days'"),
        ("store = '../store'", "outside its folder, before you trust its folder"),
        (
            "store = 's3://bucket/theirs'",
            "3:1: this file may not name 's3://bucket/theirs', outside its folder, before",
        ),
        ("store = 'http://host/x'", "3:1: 'store' takes a path or a URL (s3://bucket/prefix, gs://bucket/prefix"),
        ('store = "a\\u0000b"', "3:1: 'store' takes a path, not 'a\\x00b'"),
        ("store = '~nobody-of-that-name/x'", "3:1: 'store' takes a path of a user that there is"),
        ("batch = " + "9" * 5000, "3:9: a number has at most 300 digits"),
        ("batch = 0x" + "f" * 5000, "3:9: a number has at most 300 digits"),
        ("store_limit = '" + "9" * 5000 + "GB'", "3:1: 'store_limit' takes bytes with a unit"),
        ("wait = '" + "9" * 5000 + "'", "3:1: 'wait' takes seconds"),
        ("batch = " + "[" * 20_000, "3:17: nested deeper than 8 levels"),
        ("batch = " + "{a = " * 9, "nested deeper than 8 levels"),
        ("batch." + "a." * 20_000 + "a = 1", "3:1: a key has at most 8 parts"),
        ('["a b"' + ' . "a.b"' * 8 + "]", "3:2: a key has at most 8 parts"),
        ("batch = '" + "x" * 5000 + "'", "xxx…xxx"),
        ("runs = '/var/runs'", "3:1: this file may not name '/var/runs', outside its folder, before"),
    ],
)
def test_what_is_wrong_stands_at_its_line(places, line, said):
    _, project = places
    project.write_text(f"# a project\n\n{line}\n")
    with pytest.raises(UserError) as error:
        resolve()
    assert said in str(error.value)
    assert str(error.value).startswith(f"{project}:3:")


def test_what_stands_in_texts_and_comments_is_not_counted(places):
    _, project = places
    comment = "# " + "[" * 20 + "9" * 400 + "a." * 20
    project.write_text(f"store = '''{'[' * 20}''' {comment}\n{comment}\nruns = \"{'a.' * 20}[[[[[[[[[\" {comment}\n")
    assert resolve().runs == project.parent / ("a." * 20 + "[[[[[[[[[")


@pytest.mark.parametrize(("text", "said"), [("# " + "x" * 200_000, "longer than"), ('"' * 99_999, "not TOML")])
def test_a_file_is_small(places, text, said):
    _, project = places
    project.write_text(text)
    with pytest.raises(UserError, match=said):
        resolve()


def test_a_link_does_not_lead_out_of_an_untrusted_folder(places, tmp_path):
    _, project = places
    (project.parent / "cache").symlink_to(tmp_path / "home")
    project.write_text(PROJECT)
    with pytest.raises(UserError, match="outside its folder"):
        resolve()


def test_a_trusted_folder_may_set_everything(places):
    user, project = places
    project.write_text(
        "import = ['nodes/mine.py']\nstore_limit = '50GB'\nstore = '../store'\ncluster = 'slurm.toml'\nwait = '2h'\n"
    )
    with pytest.raises(UserError, match="trust = "):
        resolve()
    user.write_text(f"import = ['own.py']\ntrust = ['{project.parent}']\n")
    found = resolve()
    assert found.imports == (project.parent / "nodes" / "mine.py",)
    assert found.store_limit == 50 * 10**9
    assert found.cluster == str(project.parent / "slurm.toml")
    assert found.wait == 7200
    project.unlink()
    assert resolve().imports == (user.parent / "own.py",)


@pytest.mark.parametrize(
    ("text", "count"),
    [("50GB", 50_000_000_000), ("1.5 TB", 1_500_000_000_000), ("800MiB", 838_860_800), ("0", 0), (1024, 1024),
     ("2gib", 2_147_483_648), ("0.5kB", 500)],
)  # fmt: skip
def test_sizes(text, count):
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1XB", "1,5GB", 1.5, True, "1e3"])
def test_no_sizes(text):
    with pytest.raises(ValueError, match="takes bytes"):
        size(text)


def test_a_wrong_variable_is_named(places, monkeypatch):
    monkeypatch.setenv("FLOWGEN_WORKERS", "many")
    with pytest.raises(UserError, match="FLOWGEN_WORKERS: 'workers' takes a whole number of at least 0, not 'many'"):
        resolve()


def test_the_command_says_where_values_came_from(places, monkeypatch):
    _, project = places
    project.write_text(PROJECT)
    monkeypatch.setenv("FLOWGEN_DEVICE", "cpu")
    shown = CliRunner().invoke(command, ["config", "g.yaml", "--workers", "3"], catch_exceptions=False).output
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines()}
    assert rows["batch"] == ["8", f"{project}:2"]
    assert rows["workers"] == ["3", "--workers"]
    assert rows["device"] == ["cpu", "FLOWGEN_DEVICE"]
    assert rows["dtype"] == rows["cluster"] == ["-", "default"]
    assert rows["wait"] == ["60", "s", "default"]
    data = json.loads(CliRunner().invoke(command, ["config", "--json"], catch_exceptions=False).output)
    assert data["store"] == {"value": str(project.parent / "cache"), "source": f"{project}:1"}
    assert data["import"] == {"value": [], "source": "default"}


def test_python_takes_the_same_settings(tmp_path, zoo_folder, monkeypatch):
    lab = Lab(tmp_path, zoo_folder)
    (tmp_path / "flowgen.toml").write_text('store = "cache"\nruns = "out"\nbatch = 2\n')
    run = lab.load().run()
    assert run.folder.parent == tmp_path / "out"
    assert (tmp_path / "cache" / "blocks").is_dir()
    assert run.tally.calls()["decoder.vae"] == (6, 12)  # 2 prompts, 2 scales, 3 seeds: 12 images, 2 at a time
    assert lab.load().plan().compute == 0


def test_a_default_dtype_is_the_models_own_where_they_say_none(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    half = [(f"from: ZOO/{name}}}", f"from: ZOO/{name}, dtype: bfloat16}}") for name in
            ("digits", "digits-clip", "digits-classifier")]  # fmt: skip
    said = lab.plan(SMALL, *half)
    silent = lab.plan()
    (tmp_path / "flowgen.toml").write_text('dtype = "bfloat16"\n')
    configured, called = lab.plan(), load(tmp_path / "g.yaml", dtype="float32").plan(lab.store)
    keys = [set(plan.keys["image"].values.ravel().tolist()) for plan in (said, configured, silent, called)]
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert keys[0].isdisjoint(keys[2])
    run = lab.run(prompt="a red three", guidance=4)
    assert run.results.fid.notnull().all()
    assert run.results["clip"].notnull().all()
