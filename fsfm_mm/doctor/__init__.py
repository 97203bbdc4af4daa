"""The doctor: checks of data sets before time is spent on them, for people and for CI."""

from fsfm_mm.doctor.expected import expected_set, expected_sets
from fsfm_mm.doctor.labelled import check_labelled
from fsfm_mm.doctor.listing import KINDS, SPLITS, kind_of
from fsfm_mm.doctor.page import report_page
from fsfm_mm.doctor.pretraining import check_pretraining
from fsfm_mm.doctor.report import LEVELS, Finding, Report, Table

__all__ = [
    'KINDS',
    'LEVELS',
    'SPLITS',
    'Finding',
    'Report',
    'Table',
    'check_labelled',
    'check_pretraining',
    'expected_set',
    'expected_sets',
    'kind_of',
    'report_page',
]
