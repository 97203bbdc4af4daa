"""Hooks for mmengine's Runner."""

from fsfm_mm.engine.hooks.broken_files import BrokenFilesHook
from fsfm_mm.engine.hooks.momentum import MomentumUpdateHook
from fsfm_mm.engine.hooks.nonfinite import NonFiniteError, NonFiniteGuardHook
from fsfm_mm.engine.hooks.pictures import LossCurveHook, ReconstructionPictureHook
from fsfm_mm.engine.hooks.report import RunReportHook
from fsfm_mm.engine.hooks.runtime_info import IntervalRuntimeInfoHook

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
