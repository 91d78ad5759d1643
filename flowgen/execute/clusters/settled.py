"""Imported last before worker processes are forked; see ``forking``.

What is there by now stays, and is shared memory as long as nobody writes to it. Python's collector would, in every
object that it looks at, so it passes over these.
"""

import gc

gc.collect()
gc.freeze()
