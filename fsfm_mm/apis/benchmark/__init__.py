"""Where the time of a pretraining run goes, measured part by part in one run."""

from fsfm_mm.apis.benchmark.choices import choice_rows
from fsfm_mm.apis.benchmark.inputs import face_maps, loader_rows, mask_rows, mask_transform, square_size
from fsfm_mm.apis.benchmark.step import count_flops, step_flops, step_rows
from fsfm_mm.apis.benchmark.timing import Row, describe_machine, measure
from fsfm_mm.apis.benchmark.training_step import TrainingStep, build_step, random_batch

__all__ = [
    'Row',
    'TrainingStep',
    'build_step',
    'choice_rows',
    'count_flops',
    'describe_machine',
    'face_maps',
    'loader_rows',
    'mask_rows',
    'mask_transform',
    'measure',
    'random_batch',
    'square_size',
    'step_flops',
    'step_rows',
]
