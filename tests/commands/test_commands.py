"""The command fsfm-mm: what there is, answers before anything heavy is imported, configs by name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from fsfm_mm.commands import COMMANDS, main, run
from fsfm_mm.settings import config_files
from fsfm_mm.settings.config_files import config_names, find_base, find_config, list_configs
from fsfm_mm.version import __version__

ROOT = Path(__file__).resolve().parents[2]
#: What costs seconds to import.
HEAVY = {
    'torch',
    'torchvision',
    'mmcv',
    'mmpretrain',
    'timm',
    'facer',
    'matplotlib',
    'sklearn',
    'huggingface_hub',
    'jinja2',
}
#: Of each command: what takes its help, an option that there is not, and a path that is not there.
WRONG_PATHS = {
    'train': ['missing.py'],
    'test': ['fsfm_demo', 'missing.pth'],
    'predict': ['model.pth', 'missing'],
    'replay': ['missing'],
    'leave-one-out': ['missing.py'],
    'prepare': ['missing', 'out'],
    'prepare-deepfake': ['ffpp', 'missing', 'out'],
    'prepare-antispoof': ['casia', 'missing', 'out'],
    'pack': ['missing', 'out'],
    'stats': ['missing'],
    'check': ['missing'],
    'masks': ['missing'],
    'convert': ['missing.pth', 'out.pth', '--from', 'mae'],
    'card': ['missing.pth'],
    'config': ['missing.py'],
}
PROBE = """
import contextlib, io, json, sys
from fsfm_mm.commands import run
name, *arguments = sys.argv[1:]
said = io.StringIO()
with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    try:
        code = run(name, arguments)
    except SystemExit as stop:
        code = stop.code
print(json.dumps(dict(code=code, said=said.getvalue(), modules=sorted({m.partition('.')[0] for m in sys.modules}))))
"""


def probe(name, *arguments):
    """Run a command in a new process; its exit code or sentence, what it said, and the packages it imported."""
    command = [sys.executable, '-c', PROBE, name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / 'tests')
    return json.loads(done.stdout.splitlines()[-1])


def test_every_command_has_wrong_paths():
    assert set(WRONG_PATHS) == set(COMMANDS)


@pytest.mark.parametrize('name', COMMANDS)
def test_answers_come_before_heavy_imports(name):
    helped = probe(name, '--help')
    assert helped['code'] == 0 and f'usage: fsfm-mm {name}' in helped['said']
    unknown = probe(name, *WRONG_PATHS[name], '--no-such-option')
    assert unknown['code'] in (1, 2) and 'unrecognized arguments: --no-such-option' in unknown['said']
    missing = probe(name, *WRONG_PATHS[name])
    sentence = missing['code'] if isinstance(missing['code'], str) else missing['said']
    assert missing['code'] != 0 and 'missing' in sentence and 'Traceback' not in sentence
    for answer in (helped, unknown, missing):
        assert not HEAVY & set(answer['modules'])


def test_importing_the_package_is_light():
    code = 'import sys, fsfm_mm; print(*sorted({m.partition(".")[0] for m in sys.modules}))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert not (HEAVY | {'mmengine', 'numpy', 'cv2', 'scipy'}) & set(done.stdout.split())


def test_public_names_load_when_used():
    code = 'from fsfm_mm.models import FusedAttentionViT as V; from fsfm_mm.datasets import FaceParsingDataset as D; '
    code += 'import fsfm_mm; print(V.__name__, D.__name__, fsfm_mm.evaluation.auc.__name__)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['FusedAttentionViT', 'FaceParsingDataset', 'auc']


def test_components_register_everything():
    code = (
        'import fsfm_mm.components\n'
        'import mmpretrain\n'
        'from mmpretrain.registry import DATASETS, MODELS, TRANSFORMS\n'
        "kinds = (MODELS, 'FSFM'), (DATASETS, 'GeneratedFaces'), (TRANSFORMS, 'CRFRPMask')\n"
        "assert all(registry.get(f'mmpretrain.{name}') for registry, name in kinds)\n"
        "print(*mmpretrain.list_models('*fsfm*'))\n"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert 'fsfm_vit-b_vggface2_400e' in done.stdout.split()


def test_list_of_commands(capsys):
    assert main(['--help']) == 0
    said = capsys.readouterr().out
    assert all(f'  {name} ' in said for name in COMMANDS)
    assert main([]) == 2 and main(['--version']) == 0
    assert __version__ in capsys.readouterr().out
    assert main(['trian']) == 2
    assert "there is no command 'trian' (did you mean train?)" in capsys.readouterr().err


def test_doors_in_a_clone_are_the_same_commands():
    doors = set((ROOT / 'tools').rglob('*.py'))
    named = {path.read_text(encoding='utf-8').partition("run('")[2].partition("'")[0] for path in doors}
    assert named == set(COMMANDS) and len(doors) == len(COMMANDS)
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools/train.py'), 'missing.py'], capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr == 'train.py: there is no config file missing.py\n'


@pytest.mark.parametrize('name', ['fsfm_demo', 'fsfm/fsfm_demo', 'configs/fsfm/fsfm_demo.py', 'fsfm_demo.py'])
def test_configs_are_found_by_name_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == ROOT / 'configs/fsfm/fsfm_demo.py'


def test_names_of_configs_that_are_wrong():
    with pytest.raises(
        ValueError, match=r'several configs: write antispoof/demo_generated or deepfake/demo_gene'
    ):
        find_config('demo_generated')
    with pytest.raises(ValueError, match=r'no config file fsfm_dmo \(did you mean fsfm_demo'):
        find_config('fsfm_dmo')


def test_list_of_configs(capsys):
    rows = dict(list_configs())
    assert list(rows) == config_names() and all(rows.values())
    assert len(rows) == len(list((ROOT / 'configs').glob('[!_]*/*.py')))
    assert run('config', ['--list']) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(rows)


def test_a_config_of_ours_is_a_base_of_mmengines_kind(tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'fsfm_mm::fsfm/fsfm_demo.py'\nmax_iters = 7\n")
    config = Config.fromfile(tmp_path / 'mine.py', import_custom_modules=False)
    assert config.model.type == 'FSFM' and config.max_iters == 7
    assert '_scope_' not in config.train_dataloader.collate_fn  # it would reach the function as an argument
    theirs = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'
    assert find_base(theirs, 'mine.py')[1] == 'mmpretrain'
    assert (
        config_files._find_base('fsfm_mm::fsfm/fsfm_demo.py', 'mine.py')[1] == 'fsfm_mm'
    )  # mmengine's own way
