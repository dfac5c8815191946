"""How the control plane's threads share the cores with the loops that serve requests."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

_NICENESS = 10  # nice(2): a tenth of the share of a serving thread that wants the same core


def yield_to_serving() -> None:
    """Lets serving threads go before the calling one from now on: a load may take longer, a request may not.

    The other half is in ext/net/loop.cc: a loop asks for a short slice, so that it need not wait for the
    end of another thread's. Does nothing where the system forbids it.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
