"""Only what pyproject.toml can't say: the folder ``nodes`` is installed as the package ``flowgen_nodes``."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["flowgen", "flowgen.*"]),
        "flowgen_nodes",
        *(f"flowgen_nodes.{name}" for name in find_packages("nodes")),
    ],
    package_dir={"flowgen": "flowgen", "flowgen_nodes": "nodes"},
    package_data={
        "flowgen": ["py.typed", "results/*.html"],
        "flowgen_nodes": ["py.typed", "std/*.yaml", "zoo/weights/**/*"],
    },
)
