"""Quantification plug-ins: metered activity to grams of CO2e, in whole numbers."""

from tanqiao_region.domain.quantification.base import EvidenceLine, Parameters, PlugIn, Result
from tanqiao_region.domain.quantification.catalogue import PLUG_INS, parameters_of, plug_in_of

__all__ = ["PLUG_INS", "EvidenceLine", "Parameters", "PlugIn", "Result", "parameters_of", "plug_in_of"]
