"""Why an item is in the store or isn't: the reason of each item's state, found against earlier runs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flowgen.graph.model import GraphNode
from flowgen.plan.compare import Change, Comparison
from flowgen.plan.plan import Plan
from flowgen.plan.question import asked_node, chosen, labels, origin, parsed, place
from flowgen.plan.recipes import VERSION
from flowgen.plan.sides import Mine, Point
from flowgen.plan.trajectories import as_text
from flowgen.plan.wording import shown
from flowgen.store import Lost, Store, keys
from flowgen.store.compact import made_in
from flowgen.store.history import History
from flowgen.store.key_columns import distinct
from flowgen.store.quantities import counted
from flowgen.store.reach import listed

EXPLAINED = 24
"""missing items of one question that are explained one by one"""


@dataclass(frozen=True, slots=True)
class Reason:
    """The state of an item and what led to it."""

    point: dict[str, Any]
    """labels by axis"""
    state: str
    """in the store, to compute, not needed"""
    cause: str
    """stored, never computed, changed, lost, failed, without failed, unknown"""
    text: str
    changes: tuple[Change, ...] = ()
    """against the nearest item of an earlier run"""
    nearest: dict[str, Any] = field(default_factory=dict)
    """the earlier run, its node and the labels of the item"""
    stored: dict[str, Any] = field(default_factory=dict)
    """block, created, seconds an item, device, runs"""


@dataclass(slots=True)
class Answer:
    """What is known of a node's items."""

    node: str
    asked: int
    """items"""
    known: int
    """of them in the store"""
    reasons: list[Reason]
    left: int = 0
    """missing items that weren't looked at"""

    def __str__(self) -> str:
        return "\n".join(told(self))


def told(answer: Answer) -> Iterator[str]:
    """An answer in lines, items of one state and reason together."""
    yield f"{answer.node}: {answer.known} of {counted(answer.asked, 'item')} in the store"
    groups: dict[tuple[str, str], list[Reason]] = {}
    for reason in answer.reasons:
        groups.setdefault((reason.state, reason.text), []).append(reason)
    for (state, text), reasons in groups.items():
        first = reasons[0]
        point = ", ".join(f"{axis}={label}" for axis, label in first.point.items())
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        yield f"{answer.node}[{point}]{more}: {state}" if point else f"{answer.node}: {state}"
        yield f"  {text}"
        if first.changes:
            near = ", ".join(f"{axis}={label}" for axis, label in first.nearest["point"].items())
            node = first.nearest["node"]
            yield f"  beside {node}{f'[{near}]' if near else ''} of {first.nearest['run']}"
    if answer.left:
        yield f"{answer.left} more items are missing; ask for single ones: {answer.node}[axis=label]"


def why(plan: Plan, store: Store, question: str, runs: Path) -> Answer:
    """Answer ``NODE`` or ``NODE[axis=label,...]``. Raises UserError for what isn't in the graph."""
    name, where = parsed(question)
    node = asked_node(plan, name)
    flat = chosen(plan, node, where)
    column = plan.keys[node.name].values.ravel()
    flat = flat[distinct(column[flat]).first]
    has = store.has(column[flat])
    answer = Answer(node.name, len(flat), int(has.sum()), [])
    comparisons: list[Comparison] = []
    missing, there = flat[~has], flat[has]
    if len(missing):
        told = (recipe for recipe in History(store.medium).recipes() if recipe.get("version") == [VERSION, keys.FORMAT])
        mine = Mine(plan)
        comparisons = [Comparison(mine, recipe) for recipe in told]
    fates = fate(store, [as_text(key) for key in column[missing[:EXPLAINED]]])
    found = []
    for row in missing[:EXPLAINED].tolist():
        lost = fates.get(as_text(column[row]), "")
        found.append((row, absent(plan, *origin(plan, node, row), comparisons, lost, store, runs)))
    answer.left = max(0, len(missing) - EXPLAINED)
    for row in there[: max(1, EXPLAINED - len(missing))].tolist():
        found.append((row, present(plan, *origin(plan, node, row), store, runs)))
    answer.reasons = [replace(reason, point=labels(plan, place(plan, node, row))) for row, reason in found]
    return answer


def present(plan: Plan, node: GraphNode, row: int, store: Store, runs: Path) -> Reason:
    """An item that is in the store: where, since when, by which run."""
    key = as_text(plan.keys[node.name].values.ravel()[row])
    point = labels(plan, place(plan, node, row))
    try:
        block = store.find([key])[key].block
        manifest = store.manifest(block)
    except (KeyError, Lost) as gone:
        return Reason(point, "to compute", "lost", f"its block was lost just now: {gone}")
    about = manifest["provenance"]
    count = len(manifest["keys"])
    each = about["seconds"] / count if "seconds" in about else None
    made = makers(runs, made_in(about, block, manifest["keys"].index(key)))
    text = f"block {block[:12]} of {counted(count, 'item')}"
    text += f", computed {about['created']}" if "created" in about else ""
    text += f" by {made[0]}" if made else ""
    text += f", {each:.3g} s an item on {about.get('device', 'an unknown device')}" if each is not None else ""
    stored = {"block": block, "created": about.get("created"), "seconds": each, "device": about.get("device")}
    return Reason(point, "in the store", "stored", text, stored={**stored, "runs": made})


def makers(runs: Path, block: str) -> list[str]:
    """The runs that computed a block, by the names of their folders."""
    found = []
    for path in sorted(runs.glob("*/provenance.json")):
        with suppress(OSError):  # removed meanwhile
            if block.encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


def absent(
    plan: Plan, node: GraphNode, row: int, comparisons: Iterable[Comparison], fate: str, store: Store, runs: Path
) -> Reason:
    """An item that isn't in the store, beside the nearest that a run computed."""
    key = as_text(plan.keys[node.name].values.ravel()[row])
    point = place(plan, node, row)
    told = labels(plan, point)
    state = "to compute" if plan.makers[node.name].ravel()[row] >= 0 else "not needed"
    if fate:
        return Reason(told, state, "lost", fate)
    found = closest(node, point, key, comparisons)
    if found is None:
        return Reason(told, state, "never computed", f"never computed: no run has computed a '{node.type.name}' yet")
    name, where, comparison = found
    recipe = comparison.recipe
    named = {axis: shown(recipe["axes"][axis][n]) for axis, n in where.items()}
    nearest = {"run": recipe["run"], "when": recipe["when"], "node": name, "point": named}
    if cause := recipe["failed"].get(key):
        return Reason(told, state, "failed", f"it failed in {recipe['run']}: {cause}", nearest=nearest)
    if other := recipe.get("renamed", {}).get(key):  # recipes of earlier versions have none
        there = "and it is in the store" if store.find([other]) else "and it is gone from the store"
        text = f"{recipe['run']} computed it ({recipe['when']}) without items that failed, {there}"
        return Reason(told, state, "without failed", text, nearest=nearest)
    if changes := tuple(comparison.changes(node, name, point, where)):
        return Reason(told, state, "changed", "; ".join(map(sentence, changes)), changes, nearest)
    if had(recipe, runs, name, key):
        text = f"{recipe['run']} computed it ({recipe['when']}), and it is gone from the store"
        return Reason(told, state, "lost", text, nearest=nearest)
    text = f"nothing that the history holds of {recipe['run']} ({recipe['when']}) differs"
    text += ", and nothing shows that it ever was in the store"
    return Reason(told, state, "unknown", text, nearest=nearest)


def had(recipe: Mapping[str, Any], runs: Path, name: str, key: str) -> bool:
    """Whether a run is known to have had an item in the store: its folder lists also those that nothing needed, unless
    its recipe says that there were none.
    """
    whole = recipe["nodes"][name].get("whole", False)  # recipes of earlier versions don't tell
    return whole and bool((listed(runs / recipe["run"], name) == key.encode()).any())


def closest(
    node: GraphNode, point: Point, key: str, comparisons: Iterable[Comparison]
) -> tuple[str, Point, Comparison] | None:
    """The earlier node, its point and its run of the newest item that is the same, even if it failed, or else of the
    one that differs least; None if no run has computed such a node.
    """
    best, least = None, math.inf
    for comparison in comparisons:
        failed = key in comparison.recipe["failed"]
        if found := comparison.nearest(node, point, math.inf if failed else least):
            least, best = found[0], (*found[1:], comparison)
        if failed or not least:
            break
    return best


def sentence(change: Change) -> str:
    """A change in words."""
    moved = f"was {change.old}, is {change.new}"
    if change.kind == "parent":
        return f"parent changed: {change.node} ({'; '.join(map(sentence, change.because))})"
    if change.kind == "weights":
        return f"weights changed: {change.what}, {moved}"
    if change.kind == "version":
        return f"node version changed: {change.what} {moved}"
    if change.kind == "numerics":
        return f"numerics changed: {change.what} {moved}"
    if change.kind == "points":
        return f"other points are pooled: {change.what} {moved}"
    if change.kind == "wiring":
        return f"wiring changed: {change.what} of {change.node}" + (f" {moved}" if change.old or change.new else "")
    return f"parameter changed: {change.what} of {change.node} {moved}"


def fate(store: Store, asked: list[str]) -> dict[str, str]:
    """What became of keys that the store once had: collected, or set aside as damaged; and when."""
    return {
        key: f"{gone.reason}, {time.strftime('%Y-%m-%d %H:%M', time.localtime(gone.when))}"
        for key, gone in store.fate(asked).items()
    }
