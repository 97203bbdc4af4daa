"""Optimiser wrapper, parameter groups and learning-rate schedules."""

from .parameter_groups import MergedGroupsConstructor, parameter_groups
from .schedulers import WarmupCosineLR
from .wrapper import AutocastOptimWrapper

__all__ = ['AutocastOptimWrapper', 'MergedGroupsConstructor', 'WarmupCosineLR', 'parameter_groups']
