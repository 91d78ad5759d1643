"""What worker processes need, imported once before they are forked; see ``forking``."""

from contextlib import suppress

import flowgen.execute.task  # noqa: F401
from flowgen.execute.memory import keep
from flowgen.node.registry import load_packs

keep()  # before there are threads
with suppress(Exception):  # a pack that can't be imported is told by whoever needs it
    load_packs()
