"""README and documentation are run as printed, in their order; documentation.py says what is changed and left out."""

import os
import shutil
import sys

import cv2
import pytest
import torch
from documentation import PAGES, REPLACEMENTS, ROOT, replacements, run, steps
from mmengine.registry import Registry
from preparation.engine_fakes import picture, write_video

from fsfm_mm import registry
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.drawn.forgeries import draw_frame
from fsfm_mm.evaluation import ScoreTable
from fsfm_mm.evaluation.score_table import SampleScore

#: Commands and blocks of Python of each page that are marked as not to be run.
NOT_RUN = {
    'README.md': 8,
    'docs/checking.md': 1,
    'docs/checkpoints.md': 2,
    'docs/distributed.md': 2,
    'docs/downstream.md': 2,
    'docs/downstream_data.md': 8,
    'docs/prediction.md': 3,
    'docs/faults.md': 2,
    'docs/preparation.md': 7,
    'docs/training.md': 5,
}
#: Detector and parser of the world's preparations.
SMALL_MODELS = """
custom_imports = dict(imports=['preparation.engine_fakes'])
detector = dict(type='MarkedDetector')
parser = dict(type='TemplateParser', default_landmarks=True)
"""


def write_faces(folder, numbers):
    folder.mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(folder / f'{number}.png'), draw_face(number, 224)[0])


def write_classes(root, video):
    for split in ('train', 'test'):
        for v in range(video, video + 8):
            name, kind = (('fake', 'swap'), ('real', 'real'))[v % 2]
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f'{v}.png'), draw_frame(v, 0, kind, 'a', 64, 0))
        video += 8


def write_scores(path):
    rows = []
    for i in range(40):
        name, real = (('fake', 0.3), ('real', 0.6))[i % 2]
        video = f'{name}/{i // 8}'
        rows.append(SampleScore(i, f'{i}.png', 'a', video, name, i % 2, real + i / 200, 0.5))
    ScoreTable(tuple(rows)).write_samples(path)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """A clone with what the pages' readers have: photos, labelled pictures, videos, scores, a CSV file."""
    folder = tmp_path_factory.mktemp('clone')
    for name in ('configs', 'tools', 'benchmarks'):
        (folder / name).symlink_to(ROOT / name)
    (folder / 'small_models.py').write_text(SMALL_MODELS)
    write_faces(folder / 'PHOTOS', range(8))
    write_classes(folder / 'data/mine', 0)
    write_classes(folder / 'data/other', 100)
    for name in ('real', 'fake'):
        (folder / 'my_videos' / name).mkdir(parents=True)
        write_video(folder / 'my_videos' / name / 'a.mp4', [picture(seed, 64) for seed in range(4)])
    for name in ('scores.csv', 'source_scores.csv'):
        write_scores(folder / name)
    torch.save({'model': {'weight': torch.zeros(1)}}, folder / 'checkpoint-400.pth')
    before, modules = os.getcwd(), set(sys.modules)
    registries = [known for known in vars(registry).values() if isinstance(known, Registry)]
    registered = [set(known.module_dict) for known in registries]
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    yield folder
    os.chdir(before)
    sys.path.remove(str(folder))
    for name in set(sys.modules) - modules:
        if name.startswith('my_'):
            del sys.modules[name]
    for known, names in zip(registries, registered, strict=True):  # shared by all tests
        for name in set(known.module_dict) - names:
            del known.module_dict[name]
    shutil.rmtree(folder)


def follow(page):
    """Run a page's steps, all of them; returns what went wrong."""
    scope, wrong = {'__name__': page}, []
    for step in steps(page):
        if not step.reason:
            try:
                run(step, scope)
            except Exception as error:
                wrong.append(f'{step}: {type(error).__name__}: {error}')
    return wrong


@pytest.fixture(scope='module')
def readme(world):
    """README's commands were run: what went wrong; other pages begin with what they leave."""
    return follow('README.md')


@pytest.mark.slow
@pytest.mark.parametrize('page', PAGES)
def test_page(readme, page):
    assert (readme if page == 'README.md' else follow(page)) == []


def test_what_is_not_run_is_counted():
    found = {page: sum(bool(step.reason) for step in steps(page)) for page in PAGES}
    assert {page: number for page, number in found.items() if number} == NOT_RUN


def test_every_replacement_is_needed():
    commands = [
        step for page in PAGES for step in steps(page) if not (step.language or step.file or step.reason)
    ]
    needed = [replacement for step in commands for replacement in replacements(step)]
    assert set(needed) == set(REPLACEMENTS)
