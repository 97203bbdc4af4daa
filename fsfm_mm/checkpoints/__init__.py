"""Reading and writing weights, converting them, and the cards that say what they expect."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        'card': ['ModelCard', 'read_card'],
        'card_hook': ['CardHook'],
        'convert': ['ConversionReport', 'convert'],
        'convert_files': ['convert_file', 'save_checkpoint_file'],
        'facts': ['check_model', 'model_facts', 'preprocessor_statistics'],
        'name_maps': ['from_reference'],
        'pretrained': ['load_checkpoint_file', 'load_pretrained_backbone', 'pretrained_backbone'],
        'timm_models': ['TIMM_MODELS'],
        'zoo': ['fetch', 'zoo_names'],
    },
)
