"""Worker processes begin in a moment: what they import brings neither torch nor a registry of OpenMMLab."""

import subprocess
import sys
from pathlib import Path

import pytest

import fsfm_mm

#: fsfm_mm itself and its registry, as far as these modules need them; what a class registers in is not the point here.
STANDS_IN = """
import sys, types
package = types.ModuleType('fsfm_mm'); package.__path__ = [{folder!r}]
registry = types.ModuleType('fsfm_mm.registry')
registry.FACE_DETECTORS = registry.FACE_PARSERS = types.SimpleNamespace(
    name='', module_dict=dict(), register_module=lambda **options: lambda kind: kind
)
sys.modules |= {{'fsfm_mm': package, 'fsfm_mm.registry': registry}}
import {module}
heavy = sorted({{'torch', 'mmengine', 'mmcv', 'mmpretrain', 'timm', 'facer'}} & set(sys.modules))
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    'module',
    [
        'fsfm_mm.preparation.run, fsfm_mm.preparation.parsers, fsfm_mm.preparation.detectors',
        'fsfm_mm.preparation.packing, fsfm_mm.preparation.writers.folders',
        'fsfm_mm.doctor.scanning, fsfm_mm.statistics',
    ],
)
def test_what_workers_import_is_light(module):
    code = STANDS_IN.format(folder=str(Path(fsfm_mm.__file__).parent), module=module)
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


#: A whole preparation in one process.
PREPARES = """
import sys
import cv2
import numpy as np
from fsfm_mm.commands import run
cv2.imwrite('photos/a.png', np.full((64, 64, 3), 200, np.uint8))
assert run('prepare', {arguments}) == 0
heavy = sorted({{'mmcv', 'mmpretrain', 'timm', 'facer'}} & set(sys.modules))
assert not heavy, heavy
"""


@pytest.mark.parametrize('form', ['folders', 'archive'])
def test_preparing_imports_no_mmpretrain(tmp_path, form):
    (tmp_path / 'photos').mkdir()
    options = [
        '--detector',
        'none',
        '--parser',
        'none',
        '--workers',
        '0',
        '--size',
        '32',
        '--format',
        form,
    ]
    code = PREPARES.format(arguments=['photos', 'out', *options])
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
