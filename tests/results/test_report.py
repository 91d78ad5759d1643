"""The drawing of a graph and the report: whole, self-contained, and safe whatever the texts say."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import networkx as nx
import PIL.Image
import pytest
import torch
from results_example import Memory, axis, example, example_graph

from flowgen.results.dataset import write_dataset
from flowgen.results.drawing import draw_graph
from flowgen.results.grids import write_grids
from flowgen.results.layout import Arrangement
from flowgen.results.making import Made
from flowgen.results.report import write_report
from flowgen.values import Image, Score

SVG = "{http://www.w3.org/2000/svg}"
BAD = "<script>alert(1)</script>\"'&"


def lay_out(graph, width=100.0, height=44.0):
    return Arrangement(graph, dict.fromkeys(graph, (width, height))).layout()


def inside(box, frame):
    return frame.x < box.x and box.right < frame.right and frame.y < box.y and box.bottom < frame.bottom


def test_the_loop_is_framed_and_nothing_overlaps():
    layout = lay_out(example_graph())
    frame = layout.frames["sampler"]
    body = {"sampler", "cond", "uncond", "guided"}
    for name, box in layout.boxes.items():
        if name in body:
            assert inside(box, frame)
        else:
            assert box.right <= frame.x or box.x >= frame.right or box.bottom <= frame.y or box.y >= frame.bottom
        for other, second in layout.boxes.items():
            apart = box.right <= second.x or second.right <= box.x or box.bottom <= second.y or second.bottom <= box.y
            assert other == name or apart


def test_wires_run_from_left_to_right():
    graph = example_graph()
    layout = lay_out(graph)
    for source, target in graph.edges:
        if not graph.edges[source, target]["feedback"]:
            path = [layout.boxes[source].right, *(x for x, _ in layout.routes[source, target]), layout.boxes[target].x]
            assert path == sorted(path)


def test_loops_within_loops():
    graph = nx.DiGraph()
    for name, loop in {"a": None, "outer": None, "p": "outer", "inner": "outer", "q": "inner", "z": None}.items():
        graph.add_node(name, type="t", loop=loop, output=False)
    wires = ["a outer", "outer p", "p inner", "inner q", "a q", "outer z"]
    graph.add_edges_from((wire.split() for wire in wires), port="x", feedback=False)
    graph.add_edges_from([("q", "inner"), ("inner", "outer")], port="x", feedback=True)
    layout = lay_out(graph)
    assert list(layout.frames) == ["outer", "inner"] and inside(layout.frames["inner"], layout.frames["outer"])
    assert inside(layout.boxes["q"], layout.frames["inner"]) and inside(layout.boxes["p"], layout.frames["outer"])
    assert draw_graph(graph).count('class="wire feedback"') == 2


def test_the_drawing_says_names_types_and_outputs():
    drawing = draw_graph(example_graph())
    root = ElementTree.fromstring(drawing)
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert {"sampler", "scheduler.ddim", "loop of sampler", "guidance.cfg", "metric.fid"} <= set(words)
    assert words.count("◇ digits") == 8  # seven nodes that use it, and itself
    styles = [element.get("class") for element in root.iter(f"{SVG}rect")]
    assert styles.count("box output") == 3 and styles.count("frame") == 1 and styles.count("model") == 3
    width = float(root.get("width"))
    assert root.get("style") == f"height:auto;max-width:max(100%,{0.6 * width:.0f}px)"
    assert drawing.count('class="wire feedback"') == 1 and draw_graph(example_graph()) == drawing


@pytest.mark.parametrize("graph", [nx.DiGraph(), nx.DiGraph([("a", "b"), ("b", "a")])], ids=["empty", "cycle"])
def test_any_graph_is_drawn(graph):
    ElementTree.fromstring(draw_graph(graph))


class Page(HTMLParser):
    """Collects what a page holds and refers to."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.handlers = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "srcset")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def report(folder, dataset, graph, **texts):
    defaults = {"title": "t", "description": "d", "facts": {"items": "960"}, "source": "flowgen: 1", "failures": []}
    sheets = write_grids(folder, dataset)
    made = Made(sheets=[path for paths in sheets.values() for path in paths], files=sheets)
    path = write_report(folder, dataset=dataset, made=made, graph=graph, **(defaults | texts))
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def test_the_example_report_needs_nothing_else(tmp_path):
    axes, columns, memory = example(8)
    dataset = write_dataset(tmp_path, axes, columns, memory, {})
    html = report(tmp_path, dataset, example_graph(), title="Digits", source="nodes: $x")
    page = Page()
    page.feed(html)
    assert page.tags.count("img") == 7 + 1 and page.tags.count("svg") == 3 and page.tags.count("script") == 1
    assert page.links and all(link.startswith(("data:image/", "#", "images/")) for link in page.links)
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\"'\s<>)]*", html)) <= namespaces
    assert "@import" not in html and not re.search(r"url\((?!#)", html)
    for said in ("<h1>Digits</h1>", "31.42", "mean over colour, digit, seed", "nodes: $x", "960"):
        assert said in html


def test_hostile_texts_are_escaped_everywhere(tmp_path):
    memory, labels = Memory(), [BAD, "../..", "</svg></style>", "a" * 2000, "日本\ud800\0"]
    axes = {"m": axis("m", labels), "n": axis("n", ["</title>", "]]>"]), "k": axis("k", [1, 2])}
    score = Score(torch.rand(20), torch.ones(20, dtype=torch.long), BAD)
    columns = [memory.column("s", axes, [score]), memory.column("image", axes, [Image(torch.zeros(20, 3, 4, 4))])]
    dataset = write_dataset(tmp_path, axes, columns, memory, {})
    graph = nx.DiGraph()
    graph.add_node(BAD, type=BAD, loop=None, output=True)
    graph.add_node("m" + BAD, type="model", loop=None, output=False)
    graph.add_edge("m" + BAD, BAD, port=BAD, feedback=False)
    html = report(tmp_path, dataset, graph, title=BAD, description=BAD, facts={BAD: BAD}, source=BAD + "\ud800")
    page = Page()
    page.feed(html)
    assert page.tags.count("script") == 1 and not page.handlers and "alert(1)</script>" not in html
    ElementTree.fromstring(draw_graph(graph))


def test_heavy_sheets_are_embedded_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr("flowgen.results.report.HEAVY", 100)
    memory, seed = Memory(), axis("seed", [0, 1])
    columns = [memory.column("image", {"seed": seed}, [Image(torch.rand(2, 3, 32, 32))])]
    html = report(tmp_path, write_dataset(tmp_path, {"seed": seed}, columns, memory, {}), nx.DiGraph())
    assert "data:image/jpeg;base64," in html and "data:image/png" not in html


def test_a_long_sheet_is_scrolled_and_not_shrunk(tmp_path):
    memory, axes = Memory(), {"seed": axis("seed", range(40)), "m": axis("m", [1, 2])}
    column = memory.column("image", axes, [Image(torch.rand(80, 3, 8, 8))])
    dataset = write_dataset(tmp_path, axes, [column], memory, {})
    sheets = write_grids(tmp_path, dataset, {"image": {"wide": ("m", "seed"), "tall": ("seed", "m")}})
    made = Made(sheets=[path for paths in sheets.values() for path in paths])
    facts = {"title": "t", "description": "", "facts": {}, "failures": [], "source": ""}
    html = write_report(tmp_path, dataset=dataset, made=made, graph=nx.DiGraph(), **facts).read_text(encoding="utf-8")
    wide, tall = re.findall(r'<figure(.*?)>.*?<img src="[^"]*" style="(.*?)"', html)
    (width, _), (_, height) = (PIL.Image.open(path).size for path in made.sheets)
    assert width > 2700 and height > 2700
    assert wide == (' class="across"', f"max-width:max(100%,{0.7 * width:.0f}px)")
    assert tall == ("", f"max-width:100%;max-height:max(80vh,{0.7 * height:.0f}px)")


def test_long_labels_show_whole_in_a_tooltip_and_failures_are_listed(tmp_path):
    long = "a three " * 20 + "at the end"
    memory, prompt = Memory(), axis("prompt", [long, "short"])
    score = Score(torch.tensor([1.0, 2.0]), torch.ones(2, dtype=torch.long))
    column = memory.column("s", {"prompt": prompt}, [score])
    column.keys[1] = b""
    dataset = write_dataset(tmp_path, {"prompt": prompt}, [column], memory, {})
    failed = {"node": "s", "point": {"prompt": "short"}, "points": 1, "cause": "not <finite>"}
    others = [{**failed, "cause": f"cause {n}"} for n in range(25)]
    nodes = [{**failed, "node": f"t{n}"} for n in range(25)]
    html = report(tmp_path, dataset, nx.DiGraph(), failures=[failed] * 25 + others + nodes)
    assert f'title="{long}"' in html and "…" in html and f">{long}<" not in html
    assert html.count("25 items of &#39;s&#39;: not &lt;finite&gt;") == html.count("not &lt;finite&gt;") - 15 == 1
    assert "[prompt=short], [prompt=short], [prompt=short] and 22 more" in html
    assert html.count("s[prompt=short]: cause") == 3 and "22 more items of &#39;s&#39;, for 22 other causes" in html
    assert html.count("[prompt=short]: not &lt;finite&gt;") == 15
    assert "10 more causes. All 75 items are in provenance.json" in html
    assert ">failed</td>" in html and ">nan<" not in html
