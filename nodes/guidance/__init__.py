"""Guidance: how predictions are combined."""

from . import apg, cfg, cfg_zero, classifier, compose, perturbed, rescale, tcfg

__all__ = ["apg", "cfg", "cfg_zero", "classifier", "compose", "perturbed", "rescale", "tcfg"]
