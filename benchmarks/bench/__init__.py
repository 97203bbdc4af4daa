"""Where the time and memory of a pretraining run go, and what each optimisation gains, measured in one run."""

from bench.against_plain import PlainOptions, plain_comparisons
from bench.choices import choice_rows
from bench.comparison import Comparison
from bench.counting import count_operators, step_counts
from bench.inputs import face_maps, loader_rows, mask_rows, mask_transform, square_size
from bench.memory import peak_bytes, saved_bytes
from bench.report import text_report, verdict
from bench.scaling import Scale, scaling
from bench.step import count_flops, step_flops, step_rows
from bench.timing import Row, describe_machine, measure
from bench.training_step import TrainingStep, build_step, random_batch

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
