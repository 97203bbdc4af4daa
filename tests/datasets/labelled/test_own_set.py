"""The example of docs/downstream_data.md: a data set of one's own that reads a CSV file."""

import re
from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.registry import DATASETS

PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'downstream_data.md'


def test_the_example_of_the_documentation_runs(tmp_path):
    blocks = re.findall(r'^```python\n(.*?)^```', PAGE.read_text(encoding='utf-8'), flags=re.M | re.S)
    (code,) = [block for block in blocks if 'class FaceTable' in block]
    for name in ('a', 'b'):
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.full((8, 8, 3), 9, np.uint8))
    (tmp_path / 'faces.csv').write_text('path,class,video\na.png,real,1\nb.png,fake,1\n')
    try:
        exec(code, {'__name__': 'my_data'})
        config = dict(type='FaceTable', table=str(tmp_path / 'faces.csv'), pipeline=[dict(type='LoadFace')])
        first, second = DATASETS.build(config)
    finally:
        DATASETS.module_dict.pop('FaceTable', None)  # the registry is shared by all tests
    assert (first['gt_label'], first['video_id']) == (1, 'real/1')
    assert (second['gt_label'], second['video_id']) == (0, 'fake/1')
    assert first['img'].shape == (8, 8, 3)
