"""PreparedModel: a model as it goes into a bundle."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.models.options import ModelOptions


@dataclass(frozen=True)
class PreparedModel:
    """What `penstock.models.prepare` gives."""

    kind: str
    file: str  # its name inside the bundle
    content: bytes
    options: ModelOptions
    feature_names: tuple[str, ...] | None  # of its columns, in order; None where the file names none
    named: bool = True  # False: trained on a bare matrix, and the names are its library's invention
    estimator: object | None = None  # what the file was made from, where no library reads the file
