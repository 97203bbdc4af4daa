"""Hooks for mmengine's Runner."""

from fsfm_mm.engine.hooks.broken_files import BrokenFilesHook
from fsfm_mm.engine.hooks.exact_resume import ExactResumeHook
from fsfm_mm.engine.hooks.momentum import MomentumUpdateHook
from fsfm_mm.engine.hooks.nonfinite import NonFiniteGuardHook
from fsfm_mm.engine.hooks.pictures import LossCurveHook, ReconstructionPictureHook
from fsfm_mm.engine.hooks.progress import ProgressHook
from fsfm_mm.engine.hooks.report import RunReportHook
from fsfm_mm.engine.hooks.runtime_info import IntervalRuntimeInfoHook
from fsfm_mm.engine.hooks.safe_checkpoint import SafeCheckpointHook
from fsfm_mm.engine.hooks.stop_signal import StopSignalHook

__all__ = [
    'BrokenFilesHook',
    'ExactResumeHook',
    'IntervalRuntimeInfoHook',
    'LossCurveHook',
    'MomentumUpdateHook',
    'NonFiniteGuardHook',
    'ProgressHook',
    'ReconstructionPictureHook',
    'RunReportHook',
    'SafeCheckpointHook',
    'StopSignalHook',
]
