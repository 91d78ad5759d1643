"""Models of the Hub: a cache made by hand, and a server on this machine that speaks what huggingface_hub asks."""

import hashlib
import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest
import tiny_models
from huggingface_hub import constants
from PIL import Image as Pillow
from safetensors.torch import save_file
from small import Lab
from tiny_models.adapters import ip_adapter
from tiny_models.texts import clip_vision

from flowgen.errors import UserError

COMMIT, OLDER = "0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"
GRAPH = """\
flowgen: 1
sweep: {seed: {range: 1}}
defaults: {model: $m}
nodes:
  m: {type: model, from: org/tiny}
  text: {type: encoder.text, text: a red cat}
  noise: {type: noise, seed: $seed}
  sampler: {type: scheduler.ddim, start: $noise, prediction: $cond, steps: 1}
  cond: {type: denoiser, x: $sampler.x, context: $text}
outputs: [sampler]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model, with files beside it that nobody needs."""
    parent = tmp_path_factory.mktemp("tiny")
    folder = tiny_models.folder("sd1", parent)
    (folder / "v1-pruned.safetensors").write_bytes(b"a copy in one file")
    shutil.copy(
        folder / "unet/diffusion_pytorch_model.safetensors", folder / "unet/diffusion_pytorch_model.fp16.safetensors"
    )
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(b"the same, pickled")
    (folder / "README.md").write_text("words")
    (folder / "adapters").mkdir()
    save_file(ip_adapter(tiny_models.build("sd1").unet), folder / "adapters/one.safetensors")
    clip_vision().save_pretrained(parent / "eye")
    Pillow.new("RGB", (32, 32)).save(parent / "photo.png")
    return parent


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture
def lab(tmp_path, folders):
    return Lab(tmp_path, folders)


class Server(http.server.ThreadingHTTPServer):
    """A Hub with the model org/tiny, whose requests are noted."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder = folder
        self.asked: list[str] = []


class Answer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        if path in ("/api/models/org/tiny", "/api/models/org/tiny/revision/v1"):
            self.answer(json.dumps(self.info(COMMIT)).encode())
        elif path == "/api/models/org/tiny/refs":
            refs = {"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}], "converts": []}
            self.answer(json.dumps({**refs, "tags": [{"name": "v1", "ref": "x", "targetCommit": COMMIT}]}).encode())
        elif path.startswith("/api/models/org/tiny/"):
            self.answer(b"", 404, {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/models/org/gated"):
            self.answer(b"", 403, {"X-Error-Code": "GatedRepo"})
        elif path.startswith(f"/org/tiny/resolve/{COMMIT}/"):
            self.file(self.server.folder / path.removeprefix(f"/org/tiny/resolve/{COMMIT}/"))
        else:
            self.answer(b"", 404, {"X-Error-Code": "RepoNotFound"})

    def info(self, commit):
        files = []
        for path in sorted(p for p in self.server.folder.rglob("*") if p.is_file()):
            about = {"rfilename": path.relative_to(self.server.folder).as_posix(), "size": path.stat().st_size}
            if path.suffix in (".safetensors", ".bin"):
                about["lfs"] = {"sha256": sha256(path), "size": path.stat().st_size, "pointerSize": 130}
            files.append(about)
        return {"id": "org/tiny", "sha": commit, "siblings": files}

    def file(self, path):
        content, headers = path.read_bytes(), {"ETag": f'"{sha256(path)}"', "X-Repo-Commit": COMMIT}
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(int(last or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
            return self.answer(content[int(first) : end + 1], 206, headers)
        return self.answer(content, 200, headers)

    def answer(self, content, status=200, headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def server(folders, cache, monkeypatch):
    found = Server(folders / "tiny-sd1")
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    address = f"http://127.0.0.1:{found.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace("https://huggingface.co", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def make_cache(cache, folder, commit=COMMIT):
    """The Hub's cache as huggingface_hub leaves it: blobs, and snapshots that link to them."""
    store = cache / "models--org--tiny"
    (store / "blobs").mkdir(parents=True)
    for path in (p for p in folder.rglob("*") if p.is_file()):
        blob = store / "blobs" / sha256(path)
        shutil.copy(path, blob)
        link = store / "snapshots" / commit / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text(commit)
    return store


def test_a_cached_model_runs_without_a_connection(lab, cache, folders):
    make_cache(cache, folders / "tiny-sd1")
    run = lab.run(GRAPH)
    told = json.loads((run.folder / "provenance.json").read_text())
    assert told["models"] == {"m": [f"org/tiny@{COMMIT}"]}
    local = lab.run(GRAPH, ("org/tiny", str(folders / "tiny-sd1")))
    assert sum(node["computed"] for node in told["nodes"].values()) == 2
    assert local.tally.calls() == {}  # the same weights in another place are the same results
    pinned = lab.plan(GRAPH, ("org/tiny}", f"org/tiny, revision: {COMMIT}}}"))
    assert pinned.compute == 0


def test_a_path_that_exists_wins(lab, cache, folders, tmp_path):
    make_cache(cache, folders / "tiny-sd1")
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "tiny").mkdir()
    with pytest.raises(UserError, match="'org/tiny' holds no model"):
        lab.load(GRAPH).check()


def test_a_check_fetches_no_weights_and_a_run_those_that_it_needs(lab, server, cache):
    experiment = lab.load(GRAPH)
    experiment.check()
    kept = {path.name for path in (cache / "models--org--tiny" / "snapshots" / COMMIT).rglob("*") if path.is_file()}
    assert kept >= {"model_index.json", "tokenizer_config.json", "scheduler_config.json", "config.json"}
    assert not any(name.endswith((".safetensors", ".bin", ".md")) for name in kept)
    assert not any("fp16" in line or "pruned" in line or ".bin" in line for line in server.asked)
    plan = lab.plan(GRAPH)
    assert plan.compute == 2
    assert not list(cache.rglob("*.safetensors"))
    run = lab.run(GRAPH)
    there = sorted(path.parent.name for path in cache.rglob("snapshots/*/*/*.safetensors"))
    assert there == ["text_encoder", "unet"]  # the VAE has nothing to do here
    assert f"org/tiny@{COMMIT}" in (run.folder / "provenance.json").read_text()
    assert lab.plan(GRAPH).compute == 0  # promised digests are those that the files have
    server.asked.clear()
    assert lab.plan(GRAPH, ("org/tiny}", "org/tiny, revision: v1}")).compute == 0
    assert server.asked == ["GET /api/models/org/tiny/revision/v1"]


def test_an_adapter_is_fetched_when_it_is_needed(lab, server, cache):
    adapter = ("org/tiny}", "ZOO/tiny-sd1, ip_adapter: [{from: org/tiny, weights: adapters/one.safetensors}]}")
    eye = (
        "  text:",
        "  eye: {type: model, from: ZOO/eye}\n  seen: {type: encoder.image, model: $eye, image: $p}\n  text:",
    )
    photo = ("  noise:", "  p: {type: image.load, file: ZOO/photo.png}\n  noise:")
    changes = (adapter, eye, photo, ("context: $text", "context: $text, image_prompt: [$seen]"))
    plan = lab.plan(GRAPH, *changes)
    assert not list(cache.rglob("*.safetensors"))
    lab.run(GRAPH, *changes)
    assert [path.name for path in cache.rglob("snapshots/**/*.safetensors")] == ["one.safetensors"]
    assert plan.compute == 3
    assert lab.plan(GRAPH, *changes).compute == 0  # the promised digest is the file's
    with pytest.raises(UserError, match=r"there is no file 'two\.safetensors' in 'org/tiny'"):
        lab.plan(GRAPH, *changes, ("adapters/one", "two"))


def test_without_a_connection_the_cache_does(lab, server, cache, monkeypatch):
    lab.run(GRAPH)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert lab.plan(GRAPH).compute == 0
    with pytest.raises(UserError, match=f"'hf download org/tiny --revision {COMMIT}'"):
        lab.plan(
            GRAPH,
            ("[sampler]", "[sampler, image]"),
            ("outputs:", "  image: {type: decoder.vae, latent: $sampler}\noutputs:"),
        )


def test_weights_that_differ_from_what_was_promised_are_refused(lab, server, cache, folders, monkeypatch):
    plan = lab.plan(GRAPH)
    part = next(part for code in plan.programs.values() for part in code.parts if part.name == "unet")
    file = Path(part.folder) / part.files[0]
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = bytearray((folders / "tiny-sd1/unet" / file.name).read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    from flowgen.execute.pool import Pool, StaleWeights

    opened = Pool().opener("cpu", plan.programs["sampler"].parts, sha256)
    with pytest.raises(StaleWeights, match="changed after the run was planned"):
        opened(part)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("org/none", r"5:\d+: there is no folder 'org/none', and no model on the Hub\n.*hf auth login"),
        (
            "org/gated",
            r"the model 'org/gated' is gated\n  ask for access at http://127\S+/org/gated, then 'hf auth login'",
        ),
        ("org/tiny, revision: v7", r"the model 'org/tiny' has no revision 'v7'\n  it has main, v1"),
    ],
)
def test_what_the_hub_has_not(lab, server, name, said):
    with pytest.raises(UserError, match=said):
        lab.load(GRAPH, ("org/tiny", name)).check()


def test_what_the_cache_has_not(lab, cache):
    with pytest.raises(UserError, match="with a connection, 'hf download org/tiny --revision v1' fetches it"):
        lab.load(GRAPH, ("org/tiny", "org/tiny, revision: v1")).check()
    with pytest.raises(UserError, match=r"'ZOO' is a path, and only models of the Hub have revisions"):
        lab.load(GRAPH, ("org/tiny", "ZOO, revision: v1")).check()
