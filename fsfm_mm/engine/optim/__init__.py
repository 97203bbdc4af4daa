"""Optimiser wrapper, parameter groups and learning-rate schedules."""

from fsfm_mm.engine.optim.parameter_groups import MergedGroupsConstructor, parameter_groups
from fsfm_mm.engine.optim.schedulers import WarmupCosineLR
from fsfm_mm.engine.optim.wrapper import AutocastOptimWrapper

__all__ = ['AutocastOptimWrapper', 'MergedGroupsConstructor', 'WarmupCosineLR', 'parameter_groups']
