from __future__ import annotations

import sys
from pathlib import Path

# The benchmarks are programs, not a package: they import each other as files beside them.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))
