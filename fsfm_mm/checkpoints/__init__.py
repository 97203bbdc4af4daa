"""Reading and writing weights, converting them, and the cards that say what they expect."""

from fsfm_mm.checkpoints.card import ModelCard, read_card
from fsfm_mm.checkpoints.card_hook import CardHook, check_model, model_facts, preprocessor_statistics
from fsfm_mm.checkpoints.convert import ConversionReport, convert
from fsfm_mm.checkpoints.convert_file import convert_file
from fsfm_mm.checkpoints.name_maps import from_reference
from fsfm_mm.checkpoints.pretrained import load_pretrained_backbone, pretrained_backbone
from fsfm_mm.checkpoints.zoo import fetch, zoo_names
from fsfm_mm.files.checkpoint_reading import check_whole, load_checkpoint_file
from fsfm_mm.files.checkpoint_writing import save_checkpoint_file

__all__ = [
    'CardHook',
    'ConversionReport',
    'ModelCard',
    'check_model',
    'check_whole',
    'convert',
    'convert_file',
    'fetch',
    'from_reference',
    'load_checkpoint_file',
    'load_pretrained_backbone',
    'model_facts',
    'preprocessor_statistics',
    'pretrained_backbone',
    'read_card',
    'save_checkpoint_file',
    'zoo_names',
]
