"""Transforms: fitted once, compiled, the same kernels at training, in process and in the server."""

from penstock.transforms.apply import Apply
from penstock.transforms.arithmetic import Arithmetic
from penstock.transforms.base import Transform
from penstock.transforms.binarize import Binarize
from penstock.transforms.bucketize import Bucketize
from penstock.transforms.cast import Cast
from penstock.transforms.clip import Clip
from penstock.transforms.copy import Copy
from penstock.transforms.cross import Cross
from penstock.transforms.custom import Custom
from penstock.transforms.cyclic import Cyclic
from penstock.transforms.date_parts import DateParts
from penstock.transforms.embedding_lookup import EmbeddingLookup
from penstock.transforms.features import Features
from penstock.transforms.frequency_encode import FrequencyEncode
from penstock.transforms.hash import Hash
from penstock.transforms.haversine import Haversine
from penstock.transforms.impute import Impute
from penstock.transforms.log1p import Log1p
from penstock.transforms.max_abs import MaxAbs
from penstock.transforms.min_max import MinMax
from penstock.transforms.missing_indicator import MissingIndicator
from penstock.transforms.normalize import Normalize
from penstock.transforms.one_hot import OneHot
from penstock.transforms.ordinal import Ordinal
from penstock.transforms.planner import cast_plan
from penstock.transforms.polynomial import Polynomial
from penstock.transforms.power import Power
from penstock.transforms.quantile import Quantile
from penstock.transforms.registry import REGISTRY
from penstock.transforms.robust import Robust
from penstock.transforms.select import Select
from penstock.transforms.spline import Spline
from penstock.transforms.standardize import Standardize
from penstock.transforms.target_encode import TargetEncode
from penstock.transforms.text_hash import TextHash
from penstock.transforms.tf_idf import TfIdf

__all__ = [
    "REGISTRY",
    "Apply",
    "Arithmetic",
    "Binarize",
    "Bucketize",
    "Cast",
    "Clip",
    "Copy",
    "Cross",
    "Custom",
    "Cyclic",
    "DateParts",
    "EmbeddingLookup",
    "Features",
    "FrequencyEncode",
    "Hash",
    "Haversine",
    "Impute",
    "Log1p",
    "MaxAbs",
    "MinMax",
    "MissingIndicator",
    "Normalize",
    "OneHot",
    "Ordinal",
    "Polynomial",
    "Power",
    "Quantile",
    "Robust",
    "Select",
    "Spline",
    "Standardize",
    "TargetEncode",
    "TextHash",
    "TfIdf",
    "Transform",
    "cast_plan",
]
