"""Where tasks run: each file one way to come to workers, all answered with a Dask client."""

from flowgen.execute.clusters.choosing import chosen
from flowgen.execute.clusters.connect import client
from flowgen.execute.clusters.where import Where

__all__ = ["Where", "chosen", "client"]
