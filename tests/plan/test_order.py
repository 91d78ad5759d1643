"""The order in which parcels are sent."""

from small import Lab

from flowgen.plan.order import by_stage, depth_first


def test_points_are_finished_early_and_parents_come_first(tmp_path, zoo_folder):
    lab = Lab(tmp_path, zoo_folder)
    plan = lab.load().plan(lab.store, workers=6, batch=2)
    ordered = depth_first(plan)
    place = {(cut.stage, cut.number): n for n, (cut, _) in enumerate(ordered)}
    assert len(place) == len(plan.parcels) == len(by_stage(plan))
    for cut, parents in ordered:
        assert parents == plan.depends(cut)
        assert all(place[parent] < place[cut.stage, cut.number] for parent in parents)
    numbers = {stage: [n for (name, _), n in place.items() if name == stage] for stage in ("sampler", "image", "clip")}
    for earlier, later in (("sampler", "image"), ("image", "clip")):
        assert min(numbers[later]) < max(numbers[earlier])  # not stage after stage
    # a latent is decoded before the next one is sampled
    samplers = sorted(numbers["sampler"])
    images = [(n, parents) for n, (cut, parents) in enumerate(ordered) if cut.stage == "image"]
    last = [(n, max(place[parent] for parent in parents)) for n, parents in images]
    for first, second in zip(samplers, samplers[1:], strict=False):
        assert all(n < second for n, parent in last if parent == first)
