"""Axes from files: what they hold, and what is said about files that are wrong."""

import json
import resource
import time

import pytest

from flowgen.errors import UserError
from flowgen.language import tables
from flowgen.language.axes import Axis, Points, read_axis
from flowgen.language.document import document_from_text, load_document
from flowgen.language.expressions import evaluate

GRAPH = """\
flowgen: 1
sweep:
  item: AXIS
nodes:
  a: {type: noise, seed: $item}
outputs: [a]
"""

CAPTIONS = 'id,caption,weight,flip,zip\n1,$cat,0.5,true,007\n2,"a, b",2,False,12\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "captions.csv").write_text("\ufeff" + CAPTIONS, encoding="utf-8")
    (tmp_path / "lines.txt").write_text("\ufeffa dog\n\n  a cat \r\na fish\u2028bowl\n", encoding="utf-8")
    rows = [
        {"prompt": "$x ${y}", "seed": 1, "scale": 1.5, "on": True},
        {"prompt": "b", "seed": 2, "scale": 2, "on": False},
    ]
    (tmp_path / "rows.jsonl").write_text("\n\n".join(map(json.dumps, rows)) + "\n")
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for name in ("b.png", "a.png", ".hidden.png", "note.txt", "deep/c.png"):
        (tmp_path / "photos" / name).touch()
    return tmp_path


def axis(folder, spec, texts=()):
    return read_axis("item", spec, folder, None, frozenset(texts))


def said(tmp_path, spec):
    """What a graph with this axis ends in, the folder's name aside."""
    file = tmp_path / "g.yaml"
    file.write_text(GRAPH.replace("AXIS", spec))
    with pytest.raises(UserError) as caught:
        load_document(file)
    return str(caught.value).replace(f"{file}:", "").replace(str(tmp_path), "DIR")


def test_files_are_sorted_paths_from_the_graph_s_folder(folder):
    found = axis(folder, {"files": "photos/*.png"})
    assert found == Axis("item", ("photos/a.png", "photos/b.png"), Points({"item": ("photos/a.png", "photos/b.png")}))
    assert axis(folder, {"files": "**/*.png"}).labels == ("photos/a.png", "photos/b.png", "photos/deep/c.png")
    assert axis(folder, {"files": "photos/*", "limit": 1}).labels == ("photos/a.png",)
    assert axis(folder / "photos" / "deep", {"files": "../?.png"}).labels == ("../a.png", "../b.png")


def test_lines_are_texts_without_their_ends(folder):
    assert axis(folder, {"lines": "lines.txt"}).labels == ("a dog", "a cat", "a fish\u2028bowl")
    assert axis(folder, {"lines": "lines.txt", "limit": 1}).labels == ("a dog",)
    assert axis(folder, {"lines": "lines.txt", "limit": 10**30}) == axis(folder, {"lines": "lines.txt"})


def test_a_csv_gives_every_column_under_its_name(folder):
    found = axis(folder, {"csv": "captions.csv"})
    assert found.labels == (0, 1)
    assert list(found.points) == [
        {"id": 1, "caption": "$cat", "weight": 0.5, "flip": True, "zip": "007"},
        {"id": 2, "caption": "a, b", "weight": 2.0, "flip": False, "zip": "12"},
    ]
    assert found.inputs == ("id", "caption", "weight", "flip", "zip")


def test_columns_and_labels_of_a_csv(folder):
    spec = {"csv": "captions.csv", "columns": {"prompt": "caption", "n": "id"}, "labels": "zip"}
    found = axis(folder, spec)
    assert found.labels == ("007", "12")
    assert list(found.points) == [{"prompt": "$cat", "n": 1}, {"prompt": "a, b", "n": 2}]
    assert axis(folder, spec | {"limit": 1}).points == [{"prompt": "$cat", "n": 1}]
    assert axis(folder, spec, texts=["n"]).points[1] == {"prompt": "a, b", "n": "2"}


def test_a_limit_doesn_t_change_what_kind_a_column_is(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n2\nthree\n")
    assert axis(tmp_path, {"csv": "a.csv", "limit": 2}).points == [{"x": "1"}, {"x": "2"}]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", " -2 ", "+3"], [1, -2, 3]),
        (["1", "2.5"], [1.0, 2.5]),
        (["1e-4", ".5", "3."], [1e-4, 0.5, 3.0]),
        (["0", "00"], ["0", "00"]),
        (["1", ""], ["1", ""]),
        (["1_0"], ["1_0"]),
        (["0x1F"], ["0x1F"]),
        (["1e999"], ["1e999"]),
        (["9" * 5000], ["9" * 5000]),
        (["nan", ".inf"], ["nan", ".inf"]),
        (["٣"], ["٣"]),
        (["True", "false"], [True, False]),
        (["true", "no"], ["true", "no"]),
    ],
)
def test_kinds_of_columns(cells, values):
    found = tables.typed(cells)
    assert found == values
    assert [type(v) for v in found] == [type(v) for v in values]


def test_jsonl_keeps_the_kinds_of_json(folder):
    found = axis(folder, {"jsonl": "rows.jsonl"})
    assert found.points[0] == {"prompt": "$x ${y}", "seed": 1, "scale": 1.5, "on": True}
    assert [type(v) for v in found.points[1].values()] == [str, int, int, bool]
    assert axis(folder, {"jsonl": "rows.jsonl", "columns": {"p": "prompt"}, "labels": "seed"}).labels == (1, 2)


def test_cells_are_never_references(folder):
    text = GRAPH.replace("AXIS", "{csv: captions.csv}").replace("seed: $item", 'text: "say ${caption}", raw: $caption')
    found = document_from_text(text, folder=folder)
    arguments, point = found.nodes["a"].arguments, found.axes["item"].points[0]
    assert evaluate(arguments["text"], point) == "say $cat"
    assert evaluate(arguments["raw"], point) == "$cat"


def test_inputs_that_are_texts_keep_a_csv_s_digits(folder):
    spec = "{csv: captions.csv, columns: {item: id}}"
    text = GRAPH.replace("AXIS", spec).replace("sweep:", "inputs: {item: {type: text}}\nsweep:")
    assert document_from_text(text, folder=folder).axes["item"].points == [{"item": "1"}, {"item": "2"}]


@pytest.mark.parametrize("columns", ["{item: id, n: id}", "{n: id, item: id}"])
@pytest.mark.parametrize("labels", ["", ", labels: id"])
def test_each_input_says_whether_a_column_of_a_csv_is_texts_for_it(folder, columns, labels):
    text = GRAPH.replace("AXIS", "{csv: captions.csv, columns: " + columns + labels + ", limit: 2}")
    text = text.replace("sweep:", "inputs: {item: {type: text}, n: {type: number, default: 1}}\nsweep:")
    found = document_from_text(text, folder=folder).axes["item"]
    assert found.points == [{"item": "1", "n": 1}, {"item": "2", "n": 2}]
    assert found.labels == ((1, 2) if labels else (0, 1))


def test_labels_are_texts_as_the_input_is_that_takes_their_column(folder):
    spec = {"csv": "captions.csv", "columns": {"item": "id"}, "labels": "id"}
    assert axis(folder, spec).labels == (1, 2)
    assert axis(folder, spec, texts=["item"]).labels == ("1", "2")


WRONG_FILES = [
    (
        "ragged",
        'caption,b\n1,2\n\n"3\n",4\n5\n',
        "DIR/f, line 6: 1 cell, but 2 columns\n  a cell that holds a comma needs quotes",
    ),
    ("duplicate header", "a,b,a\n1,2,3\n", "DIR/f, line 1: the column 'a' stands twice\n  rename one of them"),
    ("missing column", "a,capton\n1,2\n", "DIR/f has no column 'caption'\n  did you mean 'capton'?"),
    ("no rows", "caption\n", "DIR/f has no rows"),
    ("empty", "", "DIR/f is empty\n  a csv begins with the names of its columns"),
    ("binary", b"caption\n\x00\x01\n", "can't read DIR/f: not a text file (line 2 holds a zero byte)"),
    ("not UTF-8", b"caption\n\xff\xfe\n", "can't read DIR/f: not UTF-8 text"),
    ("huge line", b"caption\n" + b"x" * 2_000_000, "DIR/f, line 2: longer than 1000000 characters"),
    (
        "huge cell",
        b"caption\n" + b"x" * 500_000,
        "DIR/f, line 2: not valid csv: a cell is too long (a quote left open?)",
    ),
    ("quote left open", 'caption\na\n"b\nc\n', "DIR/f, line 4: not valid csv: unexpected end of data"),
    ("text after a quote", 'caption\n"a"b\n', "DIR/f, line 2: not valid csv: ',' expected after '\"'"),
]


@pytest.mark.parametrize(("content", "expected"), [w[1:] for w in WRONG_FILES], ids=[w[0] for w in WRONG_FILES])
def test_wrong_csv(tmp_path, content, expected):
    (tmp_path / "f").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert said(tmp_path, "{csv: f, columns: {prompt: caption}}") == "3:3: " + expected


GOOD_LINE = '{"a": 1}\n\n'
WRONG_LINES = [
    ("not JSON", "{'a': 1}", "not valid JSON: Expecting property name enclosed in double quotes (column 2)"),
    ("two objects", '{"a": 1} {}', "not valid JSON: more than one value (column 9)"),
    ("a list", "[1]", 'not an object\n  a line is {"column": value, ...}'),
    ("an empty object", "{}", 'not an object\n  a line is {"column": value, ...}'),
    ("another key", '{"b": 1}', "there is no 'a'\n  known: b"),
    ("a key twice", '{"a": 1, "b": 1, "a": 2}', "'a' stands twice\n  rename one of them"),
    ("nothing", '{"a": null}', "'a' is nothing; a cell is a number, a text, true or false"),
    ("a mapping", '{"a": {}}', "'a' is a mapping; a cell is a number, a text, true or false"),
    ("NaN", '{"a": NaN}', "not valid JSON: NaN is not a number"),
    ("an infinity", '{"a": 1e999}', "'a' is inf, not a finite number"),
    ("half a character", '{"a": "\\ud800"}', "a text is not valid Unicode"),
    ("depth", "[" * 200_000, "not valid JSON: nested too deep"),
    (
        "digits",
        '{"a": ' + "9" * 5000 + "}",
        "not valid JSON: Exceeds the limit (4300 digits) for integer string conversion",
    ),
    ("a huge line", '{"a": "' + "x" * 1_000_001, "longer than 1000000 characters"),
]


@pytest.mark.parametrize(("line", "expected"), [w[1:] for w in WRONG_LINES], ids=[w[0] for w in WRONG_LINES])
def test_wrong_jsonl(tmp_path, line, expected):
    (tmp_path / "f").write_text(GOOD_LINE + line + "\n")
    assert said(tmp_path, "{jsonl: f}") == f"3:3: DIR/f, line 3: {expected}"


WRONG_AXES = [
    (
        "{files: 'photos/*.jpg'}",
        "the axis 'item': no file matches 'photos/*.jpg'\n  looked in DIR; ** stands for folders of any depth",
    ),
    ("{files: [a]}", "the axis 'item': 'files' takes a pattern like \"photos/*.png\""),
    ("{lines: nowhere.txt}", "can't read DIR/nowhere.txt: No such file or directory"),
    ("{lines: photos}", "can't read DIR/photos: not a file"),
    ("{lines: /dev/zero}", "can't read /dev/zero: not a file"),
    ("{csv: [a]}", "the axis 'item': 'csv' takes the name of a file"),
    ("{csv: captions.csv, colums: {}}", "the axis 'item': 'csv' takes no 'colums'\n  did you mean 'columns'?"),
    (
        "{csv: captions.csv, columns: caption}",
        "the axis 'item': 'columns' takes {input: column, ...}\n  leave it out to take every column under its own name",
    ),
    ("{csv: captions.csv, columns: {a b: caption}}", "the axis 'item': 'a b' is not the name of an input"),
    ("{csv: captions.csv, labels: captoin}", "DIR/captions.csv has no column 'captoin'\n  did you mean 'caption'?"),
    ("{csv: captions.csv, labels: 3}", "the axis 'item': 'labels' takes the name of a column"),
    ("{csv: captions.csv, limit: 0}", "the axis 'item': 'limit' is a whole number of at least 1, not 0"),
    ("{csv: twice.csv, labels: a}", "the axis 'item' holds 'x' twice\n  leave out 'labels' to number the rows"),
    (
        "{csv: index.csv}",
        "DIR/index.csv: the column '' is no name for an input\n  name the inputs: columns: {INPUT: '', ...}",
    ),
    ("{csv: captions.csv, lines: b}", "the axis 'item' is made from one thing, not from csv and lines"),
    ("{jsonl: blank.txt}", "DIR/blank.txt has no rows"),
    ("{lines: blank.txt}", "DIR/blank.txt has no lines that aren't blank"),
    (
        "{range: [6, 2]}",
        "the axis 'item' has no values\n"
        "  range: 3 is 0, 1, 2, and range: [2, 4] is 2, 3: the end, which is left out, is the greater one",
    ),
    (
        "{range: [0, 1, 0.5]}",
        "the axis 'item': range takes a whole number or [first, end]\n"
        "  range: [first, end, step] is of whole numbers too; linspace: [first, last, how many] of any",
    ),
    ("{range: [0, 9, 0]}", "the axis 'item': range takes a step that isn't 0"),
    ("{range: 99999999999999999999}", "the axis 'item' would have more than 10000000 points"),
    ("{rows: [{a: 1}, {b: 1}]}", "the axis 'item': row '1' differs from the first in a, b"),
    (
        "{rows: {x: {a: 1}}, labels: a}",
        "the axis 'item': these rows have labels\n  leave out 'labels', or list the rows",
    ),
    (
        "{rows: [{alpha: 1}], labels: alhpa}",
        "the axis 'item': the rows have no 'alhpa' to be labels\n  did you mean 'alpha'?",
    ),
    ("{rows: [{a: 1}, {a: 2}], labels: [a]}", "the axis 'item': 'labels' takes the name of an input"),
    ('{rows: {1: {a: 1}, "1": {a: 2}}}', "the axis 'item' holds '1' twice"),
    ("{rows: {x: {1: 2}}}", "the axis 'item': '1' is not the name of an input"),
]


@pytest.mark.parametrize(("spec", "expected"), WRONG_AXES, ids=[w[0] for w in WRONG_AXES])
def test_wrong_axes(folder, spec, expected):
    (folder / "twice.csv").write_text("a,b\nx,1\nx,2\n")
    (folder / "index.csv").write_text(",b\n0,1\n")
    (folder / "blank.txt").write_text("\n \n")
    assert said(folder, spec) == "3:3: " + expected


def test_a_line_that_stands_twice_is_found_in_its_file(folder):
    (folder / "twice.txt").write_text("a\nb\n\n a\n")
    told = "DIR/twice.txt:4:1: the axis 'item' holds 'a' twice\n  line 1 has it too: leave one of them out"
    assert said(folder, "{lines: twice.txt}") == told


def test_rows_as_a_list(tmp_path):
    rows = [{"lo": 0, "hi": 1}, {"lo": 0.5, "hi": 1}]
    assert axis(tmp_path, {"rows": rows}).labels == (0, 1)
    assert axis(tmp_path, {"rows": rows, "labels": "lo"}).labels == (0, 0.5)
    assert axis(tmp_path, {"rows": rows}).points == rows


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"caption": ["a", "b"], "n": [1, 2], "gap": [1.5, None]}), file)
    spec = {"parquet": "a.parquet", "columns": {"prompt": "caption", "n": "n"}, "labels": "caption"}
    assert axis(tmp_path, spec) == Axis("item", ("a", "b"), Points({"prompt": ["a", "b"], "n": [1, 2]}))
    assert len(axis(tmp_path, spec | {"limit": 1})) == 1
    assert said(tmp_path, "{parquet: a.parquet, columns: {p: captoin}}") == (
        "3:3: DIR/a.parquet has no column 'captoin'\n  did you mean 'caption'?"
    )
    assert said(tmp_path, "{parquet: a.parquet}") == (
        "3:3: DIR/a.parquet, row 1: 'gap' is nothing; a cell is a number, a text, true or false"
    )
    (tmp_path / "text").write_text("no parquet")
    assert said(tmp_path, "{parquet: text}").startswith("3:3: can't read DIR/text: ")
    assert said(tmp_path, "{parquet: no}") == "3:3: can't read DIR/no: No such file or directory"


def test_parquet_is_read_within_bounds(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    text = "x" * 1_000_000
    often = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 60_000, "int32"), pyarrow.array([text]))
    parquet.write_table(pyarrow.table({"text": often}), tmp_path / "often", store_schema=False)
    with parquet.ParquetWriter(tmp_path / "many", pyarrow.schema([("n", pyarrow.int64())])) as file:
        for _ in range(11):
            file.write_table(pyarrow.table({"n": pyarrow.repeat(pyarrow.scalar(0), 1_000_000)}))
    alike = pyarrow.table({"text": [f"{text}{n}" for n in range(100)]})
    with parquet.ParquetWriter(
        tmp_path / "alike", alike.schema, use_dictionary=False, column_encoding="DELTA_BYTE_ARRAY"
    ) as file:
        for _ in range(2):
            file.write_table(alike)
    parquet.write_table(pyarrow.table({"lists": [[0] * 9] * 9}), tmp_path / "lists")
    parquet.write_table(pyarrow.table({}), tmp_path / "nothing")
    large = "{} takes more than 2 GiB of memory\n  limit: N takes the first N rows; columns:"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert said(tmp_path, "{parquet: often}").startswith(f"3:3: {large.format('DIR/often')}")
    assert axis(tmp_path, {"parquet": "often", "limit": 3}).points == Points({"text": [text] * 3})
    many = "3:3: DIR/many gives more than 10000000 points\n  limit: N takes the first N"
    assert said(tmp_path, "{parquet: many}") == said(tmp_path, "{parquet: many, limit: 1000000000}") == many
    assert axis(tmp_path, {"parquet": "many", "limit": 2}).points == Points({"n": [0, 0]})
    two = Points({"text": [f"{text}0", f"{text}1"]})
    assert axis(tmp_path, {"parquet": "alike", "limit": 2}).points == two
    assert said(tmp_path, "{parquet: lists}") == (
        "3:3: DIR/lists: the column 'lists' is of list<element: int64>; a cell is a number, a text, true or false"
    )
    assert said(tmp_path, "{parquet: nothing}") == "3:3: DIR/nothing has no columns"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert said(tmp_path, "{parquet: a}") == "3:3: reading DIR/a needs pyarrow\n  pip install pyarrow"


def test_a_million_points_are_quick(tmp_path):
    count = 1_000_000
    (tmp_path / "big.csv").write_text("n,caption\n" + "".join(f"{n},picture {n}\n" for n in range(count)))
    (tmp_path / "big.txt").write_text("".join(f"picture {n}\n" for n in range(count)))
    for spec in ({"range": count}, {"csv": "big.csv", "columns": {"p": "caption"}}, {"lines": "big.txt"}):
        start = time.process_time()
        found = axis(tmp_path, spec)
        assert time.process_time() - start < 4  # a second or less on a machine that does nothing else
        assert len(found) == count
        assert len(found.points[count - 1]) == 1


def test_points_are_a_sequence():
    points = Points({"a": (1, 2, 3), "b": ("x", "y", "z")})
    assert points[1:] == [{"a": 2, "b": "y"}, {"a": 3, "b": "z"}]
    assert points[-1] == {"a": 3, "b": "z"}
    assert Axis("q", (1, 2, 3), points).take([2, 0]) == Axis("q", (3, 1), ({"a": 3, "b": "z"}, {"a": 1, "b": "x"}))
