"""Drawn faces and forgeries of them: pretraining, detection, tests and demos without any data.

A wing: nothing else of the package imports it but the registration of its two data sets.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        'faces': ['GeneratedFaces'],
        'forgeries': ['GeneratedForgeries'],
    },
)
