from __future__ import annotations

import sys
from pathlib import Path

# The generated stubs and requests by hand are those of the conformance tests.
sys.path.append(str(Path(__file__).resolve().parents[1] / "conformance"))
