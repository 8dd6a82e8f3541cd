"""Mixtures of law questions and instructions, split, checked for leaks and written as a dataset with its card."""

from leylora.dataset.build import BuildReport, build
from leylora.dataset.mixture import Mixture

__all__ = ["BuildReport", "Mixture", "build"]
