"""Where the time and memory of a pretraining run go, and what each optimisation gains, measured in one run."""

from fsfm_mm.apis.benchmark.against_plain import PlainOptions, plain_comparisons
from fsfm_mm.apis.benchmark.choices import choice_rows
from fsfm_mm.apis.benchmark.comparison import Comparison
from fsfm_mm.apis.benchmark.counting import count_operators, step_counts
from fsfm_mm.apis.benchmark.inputs import face_maps, loader_rows, mask_rows, mask_transform, square_size
from fsfm_mm.apis.benchmark.memory import peak_bytes, saved_bytes
from fsfm_mm.apis.benchmark.report import text_report, verdict
from fsfm_mm.apis.benchmark.scaling import Scale, scaling
from fsfm_mm.apis.benchmark.step import count_flops, step_flops, step_rows
from fsfm_mm.apis.benchmark.timing import Row, describe_machine, measure
from fsfm_mm.apis.benchmark.training_step import TrainingStep, build_step, random_batch

__all__ = [
    'Comparison',
    'PlainOptions',
    'Row',
    'Scale',
    'TrainingStep',
    'build_step',
    'choice_rows',
    'count_flops',
    'count_operators',
    'describe_machine',
    'face_maps',
    'loader_rows',
    'mask_rows',
    'mask_transform',
    'measure',
    'peak_bytes',
    'plain_comparisons',
    'random_batch',
    'saved_bytes',
    'scaling',
    'square_size',
    'step_counts',
    'step_flops',
    'step_rows',
    'text_report',
    'verdict',
]
