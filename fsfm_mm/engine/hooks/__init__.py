"""Hooks for mmengine's Runner."""

from .broken_files import BrokenFilesHook
from .momentum import MomentumUpdateHook
from .nonfinite import NonFiniteError, NonFiniteGuardHook
from .pictures import LossCurveHook, ReconstructionPictureHook
from .report import RunReportHook
from .runtime_info import IntervalRuntimeInfoHook

__all__ = [
    'BrokenFilesHook',
    'IntervalRuntimeInfoHook',
    'LossCurveHook',
    'MomentumUpdateHook',
    'NonFiniteError',
    'NonFiniteGuardHook',
    'ReconstructionPictureHook',
    'RunReportHook',
]
