"""Measuring servers of the Open Inference Protocol with the native load generator (ext/loadgen).

`measure` runs one load and gives its Result; `search.highest_rate` looks for the most that a server takes
within an objective. `bodies` makes what is sent. Nothing here is imported by the server.
"""

from penstock.bench.bodies import Body
from penstock.bench.histogram import Histogram
from penstock.bench.load import Interrupted, Load, Running, measure
from penstock.bench.result import Failure, Result

__all__ = ["Body", "Failure", "Histogram", "Interrupted", "Load", "Result", "Running", "measure"]
