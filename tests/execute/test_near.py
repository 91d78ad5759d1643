"""Which cores are near a GPU, read from folders as Linux makes them."""

import os
from types import SimpleNamespace

import pytest

from flowgen.execute.clusters.near import address, near, numbers

GPU = "0000:c1:00.0"


@pytest.fixture
def system(tmp_path):
    """Two NUMA nodes whose cores alternate in pairs of threads, and a GPU at the second."""

    def write(node):
        devices = tmp_path / "bus/pci/devices" / GPU
        devices.mkdir(parents=True, exist_ok=True)
        (devices / "numa_node").write_text(f"{node}\n")
        for n, cores in enumerate(("0-3,8-11\n", "4-7,12-15\n")):
            folder = tmp_path / f"devices/system/node/node{n}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "cpulist").write_text(cores)
        return tmp_path

    return write


def test_the_cores_of_the_gpus_node(system):
    assert near(GPU, system(1)) == {4, 5, 6, 7, 12, 13, 14, 15}
    assert near(GPU, system(0)) == {0, 1, 2, 3, 8, 9, 10, 11}


@pytest.mark.parametrize("node", [-1, 7, "none"])
def test_a_machine_that_does_not_say(system, node):
    assert near(GPU, system(node)) == set()
    assert near("0000:00:00.0", system(0)) == set()


def test_a_device_is_found_by_what_cuda_says_of_it():
    assert address(SimpleNamespace(pci_domain_id=0, pci_bus_id=0xC1, pci_device_id=0)) == GPU
    assert near(address(object())) == set()


def test_lists_of_cores():
    assert numbers("0\n") == {0}
    assert numbers("0-1,5,7-8") == {0, 1, 5, 7, 8}
    listed = "/sys/devices/system/cpu/online"
    if os.path.exists(listed):  # this machine's own
        with open(listed, encoding="ascii") as file:
            assert len(numbers(file.read())) == os.sysconf("SC_NPROCESSORS_ONLN")
