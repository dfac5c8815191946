"""A served bundle and its twin with other weights, exchanged on disk: what the reload benchmark reloads."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

import penstock
from models import mlp, perceptron


class Stage:
    """Two bundles of one model and version with different weights: one in the repository, one beside it."""

    def __init__(self, directory: Path) -> None:
        self.model = mlp(directory)
        self.repository = directory / "repository"
        other = directory / "other.onnx"
        other.write_bytes(perceptron((32, 64, 64, 1), seed=8).SerializeToString())
        staging = directory / "staging"
        for place, file in ((self.repository, self.model.path), (staging, other)):
            penstock.build(place, name=self.model.name, version="1", model=file)
        self._served, self._staged = (place / self.model.name / "1" for place in (self.repository, staging))
        session = onnxruntime.InferenceSession(str(other), providers=["CPUExecutionProvider"])
        answer = session.run(None, {self.model.tensor: self.model.row})[0]
        # Of the served one, and of the staged one.
        self._values: list[bytes] = [
            self.model.expected.tobytes(),
            answer.tobytes(),
        ]

    @property
    def expected(self) -> bytes:
        """The output's raw contents that the bundle in the repository gives."""
        return self._values[0]

    def swap(self) -> None:
        """Exchanges the two."""
        aside = self._staged.with_name("aside")
        self._served.rename(aside)
        self._staged.rename(self._served)
        aside.rename(self._staged)
        self._values.reverse()
