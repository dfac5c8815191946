"""Transforms: fitted once, compiled, the same kernels at training, in process and in the server."""

from penstock.transforms.base import Transform
from penstock.transforms.cyclic import Cyclic
from penstock.transforms.features import Features
from penstock.transforms.impute import Impute
from penstock.transforms.log1p import Log1p
from penstock.transforms.one_hot import OneHot
from penstock.transforms.ordinal import Ordinal
from penstock.transforms.plan import cast_program
from penstock.transforms.registry import REGISTRY
from penstock.transforms.select import Select
from penstock.transforms.standardize import Standardize

__all__ = [
    "REGISTRY",
    "Cyclic",
    "Features",
    "Impute",
    "Log1p",
    "OneHot",
    "Ordinal",
    "Select",
    "Standardize",
    "Transform",
    "cast_program",
]
