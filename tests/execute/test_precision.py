"""How exactly torch computes in a task, and that a program's own choice is as it was afterwards."""

import pytest
import torch

from flowgen.execute.precision import precise
from flowgen.plan.numerics import Numerics, numerics

CUDNN = torch.backends.cudnn
PARTS = (torch.backends.cuda.matmul, CUDNN.conv, CUDNN.rnn)


@pytest.fixture(autouse=True)
def untouched():
    matmul, tf32 = torch.get_float32_matmul_precision(), CUDNN.allow_tf32
    yield
    for part in PARTS:
        part.fp32_precision = "tf32" if tf32 else "ieee"
    torch.set_float32_matmul_precision(matmul)
    CUDNN.allow_tf32 = tf32


@pytest.mark.parametrize(("matmul", "tf32"), [("highest", False), ("high", True)])
def test_convolutions_are_as_exact_as_products_of_matrices(matmul, tf32):
    with precise(Numerics(matmul=matmul)):
        assert torch.get_float32_matmul_precision() == matmul
        assert CUDNN.allow_tf32 is tf32
    assert (torch.get_float32_matmul_precision(), CUDNN.allow_tf32) == ("highest", True)


def test_strict_numerics_are_deterministic():
    with precise(Numerics("strict")):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("told", [("tf32", "ieee", "tf32"), ("tf32", "tf32", "tf32"), ("ieee", "ieee", "ieee")])
def test_a_program_may_choose_by_torch_s_newer_names(told):
    for part, value in zip(PARTS, told, strict=True):
        part.fp32_precision = value
    found = numerics("fast", 0, "cuda")
    assert found.matmul == ("high" if told[0] == "tf32" else "highest")
    with precise(found):
        assert CUDNN.allow_tf32 is (told[0] == "tf32")
        assert torch.get_float32_matmul_precision() == found.matmul
    assert tuple(part.fp32_precision for part in PARTS) == told
