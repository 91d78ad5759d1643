"""What is made of outputs, held against the graph: axes, kinds of values, and the name of every file."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from flowgen.errors import Position, UserError, did_you_mean, with_article
from flowgen.graph.model import Graph
from flowgen.graph.trajectory import source
from flowgen.language.expressions import Ref
from flowgen.language.outputs import Making, Output
from flowgen.language.patterns import Pattern, Place, check_length
from flowgen.values import Audio, Image, Score, Video

if TYPE_CHECKING:
    from flowgen.graph.check import Outcome

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
ARRAYS = (".npy", ".safetensors")
NUMBERS = (".txt", ".csv")
MOVES = (".gif", ".webp", ".apng", ".mp4")
SOUNDS = (".wav",)
FILES: dict[type[Any], tuple[str, ...]] = {Image: PICTURES, Score: NUMBERS, Video: MOVES, Audio: SOUNDS}
"""by kind of value, what it is saved as beside ARRAYS"""
KINDS = {"loop": "loop", "reduce": "reduction"}
"""how messages call the kinds of nodes whose results are always stored"""
MOST = 100_000
"""files of a run"""
GIF_FPS = 50
"""frames per second of a gif at most: viewers show one of less than 2 hundredths of a second for 10"""


def check_making(graph: Graph) -> None:
    """Raise UserError unless everything that outputs ask for can be made, each file by one point."""
    for output in graph.document.outputs:
        if output.name in graph.document.axes:
            raise UserError(f"'{output.name}' names an output and an axis", output.at, "rename the output")
        if output.making is not None:
            check_one(graph, output, output.making)
    for curve in graph.document.curves:
        axes = dict.fromkeys((*axes_of(graph, curve.x), *axes_of(graph, curve.y)))
        for word, ref in (("x", curve.x), ("y", curve.y)):
            if not issubclass(kind_of(graph, ref), Score):
                at = curve.places.get(word, curve.at)
                raise UserError(f"'{ref}' gives {kind_of(graph, ref).__name__}; a curve is drawn from scores", at)
        if curve.along is not None and curve.along not in axes:
            raise no_axis(curve.along, "along", tuple(axes), curve.name, curve.places.get("along", curve.at))
        if curve.name in {output.name for output in graph.document.outputs}:
            raise UserError(f"the curve '{curve.name}' has the name of an output", curve.at, "rename one of them")
    check_files(graph)
    check_storable(graph)


def check_storable(graph: Graph) -> None:
    """Raise UserError where a value is to be stored that the store can't hold, or one isn't that has to be."""
    for output in graph.document.outputs:
        if not (kind := kind_of(graph, output.ref)).storable:
            raise UserError(f"'{output.name}' is {with_article(kind.__name__)}: it has no value to output", output.at)
    for node in graph.nodes.values():
        if node.entry.store == "always" and not all(kind.storable for kind in node.type.signature.outputs.values()):
            raise node.error(f"what '{node.type.name}' makes can't be stored", "store", "leave 'store' out")
        if node.entry.store == "never" and node.type.kind != "function":
            said = f"'{node.name}' ({node.type.name}) is a {KINDS[node.type.kind]}, whose results are always stored"
            hint = "they are what is costly: leave 'store' out; 'flowgen cache collect' lets stored results go"
            raise node.error(said, "store", hint)


def check_one(graph: Graph, output: Output, making: Making) -> None:
    """One entry: its axes, and that its kind of value can be made into that."""
    axes, value = axes_of(graph, output.ref), kind_of(graph, output.ref)
    for axis in making.grid or ():
        if axis not in axes:
            raise no_axis(axis, "grid", axes, output.name, making.places.get("grid"))
    if making.grid and not issubclass(value, Image):
        at = making.places.get("grid")
        raise UserError(f"'{output.ref}' gives {value.__name__}; a grid is made of images", at)
    if making.time is not None and making.time not in axes:
        raise no_axis(making.time, "time", axes, output.name, making.places.get("time"))
    if making.save is not None:
        at = making.places.get("save")
        check_kind(making.save, making, value, str(output.ref), at)
        for axis in making.save.axes:
            if axis not in axes:
                raise no_axis(axis, "save", axes, output.name, at, setter=graph.document.setters.get(axis))
        if making.time in making.save.axes:
            raise UserError(f"the axis '{making.time}' runs within the animation, not from file to file", at)


def check_kind(save: Pattern, making: Making, value: type[Any], said: str, at: Position | None) -> None:
    """The file's extension suits the value."""
    if making.time is not None:
        if not issubclass(value, Image):
            raise UserError(f"'{said}' gives {value.__name__}; an animation is made of images", at)
        if save.kind not in MOVES:
            raise UserError(f"'{save.kind}' is no kind of animation", at, f"animations: {', '.join(MOVES)}")
        check_encoder(save, at)
        check_speed(save, making.fps, making.places.get("fps"))
        return
    found = [*next((kinds for of, kinds in FILES.items() if issubclass(value, of)), ()), *ARRAYS]
    check_encoder(save, at)
    if save.kind not in found:
        hint = f"{value.__name__} is saved as {', '.join(found)}"
        if save.kind in MOVES and issubclass(value, Image):
            hint += "; an animation says along which axis: time: AXIS"
        raise UserError(f"'{save.kind or save.text}' is no kind of file for '{said}'", at, hint)


def check_encoder(save: Pattern, at: Position | None) -> None:
    """Raise UserError for an mp4 without ffmpeg."""
    if save.kind == ".mp4" and not can_encode():
        hint = "pip install imageio-ffmpeg, or install ffmpeg; gif, webp and apng need nothing"
        raise UserError("mp4 needs ffmpeg, which isn't found", at, hint)


def check_speed(save: Pattern, fps: float, at: Position | None) -> None:
    """Raise UserError for a gif that would run slower than it should."""
    if save.kind == ".gif" and fps > GIF_FPS:
        hint = "save it as webp, apng or mp4, which can"
        raise UserError(f"a gif can't show {fps:g} frames per second, only up to {GIF_FPS}", at, hint)


def check_rates(graph: Graph, found: Mapping[str, Sequence[Outcome]]) -> None:
    """Raise UserError unless videos can be saved at the rates that they have. found: by node, of each variant."""
    for output in graph.document.outputs:
        making, wire = output.making, graph.outputs[output.name]
        if making is not None and making.save is not None and issubclass(kind_of(graph, output.ref), Video):
            for outcome in found[wire.node]:
                video = outcome.outputs[wire.output]
                assert isinstance(video, Video)
                check_speed(making.save, video.rate, making.places.get("save"))


def can_encode() -> bool:
    """Whether there is an ffmpeg."""
    return shutil.which("ffmpeg") is not None or find_spec("imageio_ffmpeg") is not None


def no_axis(
    axis: str, word: str, axes: Sequence[str], name: str, at: Position | None, setter: str | None = None
) -> UserError:
    """The error for an axis that an output doesn't have."""
    if setter is not None and setter != axis and setter in axes:
        return UserError(f"'{word}' names '{axis}', which the axis '{setter}' sets", at, f"write '{setter}'")
    hint = did_you_mean(axis, axes) if axes else f"'{name}' is one value"
    return UserError(f"'{word}' names no axis of '{name}': '{axis}'", at, hint)


def axes_of(graph: Graph, ref: Ref) -> tuple[str, ...]:
    """The axes that a node's output varies along."""
    return graph.nodes[shown(graph, ref).name].axes


def kind_of(graph: Graph, ref: Ref) -> type[Any]:
    """The value type of a node's output."""
    ref = shown(graph, ref)
    outputs = graph.nodes[ref.name].type.signature.outputs
    return outputs[ref.port] if ref.port else next(iter(outputs.values()))


def shown(graph: Graph, ref: Ref) -> Ref:
    """A loop's trajectory as the node that holds it; any other reference as it is."""
    wire = source(graph.nodes, ref)
    return Ref(wire.node, wire.output) if wire else ref


def within(making: Making) -> set[str]:
    """Axes that run within a file: an animation's time."""
    return {making.time} if making.time else set()


def labels_of(graph: Graph, axes: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Labels of some axes."""
    return {axis: graph.document.axes[axis].labels for axis in axes}


def check_files(graph: Graph) -> None:
    """Every file that the run would write has a name of its own."""
    owners: dict[str, str] = {}
    for output in graph.document.outputs:
        making = output.making
        if making is None or making.save is None:
            continue
        at = making.places.get("save")
        axes = axes_of(graph, output.ref)
        missing = [a for a in axes if len(graph.document.axes[a]) > 1 and a not in {*making.save.axes, *within(making)}]
        if missing and making.save.kind != ".csv":
            hint = f"add {{{missing[0]}}}, as in {example(making.save, missing)}"
            raise UserError(f"'{output.name}' varies along '{missing[0]}', which is missing in 'save'", at, hint)
        try:
            for path, point in file_names(making.save, labels_of(graph, making.save.axes)):
                owner = f"'{output.name}'" + (f" at {point}" if point else "")
                if (other := owners.setdefault(path.casefold(), owner)) != owner or len(owners) > MOST:
                    if len(owners) > MOST:
                        raise UserError(f"more than {MOST} files", hint="results.zarr holds every value")
                    hint = "names are compared without case and special characters; use rows with labels of your own"
                    raise UserError(f"{other} and {owner} would both write '{path}'", hint=hint)
        except UserError as error:
            raise error.located(at) from None
        folders = {parent.as_posix() for path in owners for parent in PurePosixPath(path).parents}
        if both := sorted(folders & set(owners)):
            raise UserError(f"'{both[0]}' would be a file and a folder", at, "give one of them another name")


def example(save: Pattern, missing: Sequence[str]) -> str:
    """The pattern with the missing axes added to the file's name."""
    stem = save.text.removesuffix(save.kind)
    return stem + "".join(f"_{{{axis}}}" for axis in missing) + save.kind


def file_names(save: Pattern, labels: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, str]]:
    """The name of each file and, in words, its point. Raises UserError for a name that can't be."""
    if math.prod(map(len, labels.values())) > MOST:
        raise UserError(f"more than {MOST} files", hint="results.zarr holds every value")
    texts = [
        [part] if isinstance(part, str) else [part.text(label) for label in labels[part.axis]] for part in save.parts
    ]
    number = {axis: n for n, axis in enumerate(labels)}
    for at in itertools.product(*(range(len(found)) for found in labels.values())):
        path = "".join(
            found[at[number[part.axis]]] if isinstance(part, Place) else found[0]
            for part, found in zip(save.parts, texts, strict=True)
        )
        check_length(path)
        yield path, ", ".join(f"{axis}={labels[axis][n]}" for axis, n in zip(labels, at, strict=True))
