"""The package is cut in layers: imports go one way, and no file grows beyond reading length."""

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / 'fsfm_mm'
FILES = sorted(PACKAGE.rglob('*.py'))
MAX_LINES = 400

#: A component imports from the rows above its own and from itself, never from its neighbours in a row.
LAYERS = (
    ('version', '_startup', 'regions', 'schedules', 'structures', 'text'),
    ('files', 'ops'),
    ('statistics',),
    ('registry',),
    ('evaluation',),
    ('datasets', 'visualization'),
    ('drawn',),
    ('preparation',),
    ('doctor',),
    ('models',),
    ('settings',),
    ('engine',),
    ('checkpoints',),
    ('apis',),
    ('components',),  # what registers everything
    ('prediction',),
    ('commands',),
    ('__init__', '__main__'),
)
LEVEL = {component: level for level, row in enumerate(LAYERS) for component in row}
#: Products of their own beside the core: the core does not import them, whatever row they stand in.
WINGS = {'drawn', 'preparation', 'doctor', 'prediction'}
#: What may import a wing: the registration of drawn faces, and the commands.
DOORS = {'components', 'commands'}
#: Pairs that do not know each other, although one stands above the other.
STRANGERS = {('models', 'datasets'), ('checkpoints', 'engine')}
#: Folders of the project that the package, once installed, cannot see.
OUTSIDE = {'tools', 'tests', 'configs', 'docs', 'benchmarks', 'bench', 'plain'}


def component_of(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imported_modules(source):
    """Dotted names of everything a file imports, at any depth and by name too."""
    modules = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'imports are absolute'
            if node.module == 'fsfm_mm':
                modules += [f'fsfm_mm.{alias.name}' for alias in node.names]
            else:
                modules.append(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith('import_module'):
            modules += [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
    return modules


def offences(component, source):
    """What a file of a component imports although it must not."""
    found = []
    for module in imported_modules(source):
        parts = module.split('.')
        if parts[0] in OUTSIDE:
            found.append(module)
        if parts[0] != 'fsfm_mm':
            continue
        other = '__init__' if len(parts) == 1 or parts[1].startswith('__') else parts[1]
        if other != component and (LEVEL[other] >= LEVEL[component] or (component, other) in STRANGERS):
            found.append(module)
    return found


def test_every_component_has_a_place():
    unknown = {component_of(file) for file in FILES} - set(LEVEL)
    assert not unknown, f'give {sorted(unknown)} a place in LAYERS'


@pytest.mark.parametrize('file', FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_one_way(file):
    assert offences(component_of(file), file.read_text(encoding='utf-8')) == []


def wings_imported(component, source):
    """Wings that a file of the core imports."""
    if component in WINGS | DOORS:
        return []
    return [
        module
        for module in imported_modules(source)
        if module.startswith(tuple(f'fsfm_mm.{w}' for w in WINGS))
    ]


@pytest.mark.parametrize('file', FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_the_core_does_not_know_the_wings(file):
    assert wings_imported(component_of(file), file.read_text(encoding='utf-8')) == []


def module_name(file):
    return '.'.join(file.relative_to(PACKAGE.parent).with_suffix('').parts).removesuffix('.__init__')


def circle(imports):
    """A circle of modules that import each other, or []."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_imports_go_in_a_circle():
    """Those within functions count, too."""
    names = {module_name(file) for file in FILES}
    imports = {}
    for file in FILES:
        found = set()
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.ImportFrom):
                found |= {f'{node.module}.{alias.name}' for alias in node.names} | {node.module}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        # `from fsfm_mm.files import writing` is one of fsfm_mm.files.writing: packages are named by what is in them
        inner = {name for name in found if any(other.startswith(f'{name}.') for other in found & names)}
        imports[module_name(file)] = (found & names) - inner - {module_name(file)}
    assert circle(imports) == []
    assert circle({'a': {'b'}, 'b': {'c'}, 'c': {'a'}}) != []


@pytest.mark.parametrize('file', FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_file_is_too_long(file):
    assert len(file.read_text(encoding='utf-8').splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    'component, source, expected',
    [
        ('ops', 'from fsfm_mm.models.layers import Block', ['fsfm_mm.models.layers']),
        ('ops', 'def f():\n    from fsfm_mm import datasets, regions', ['fsfm_mm.datasets']),
        ('ops', 'import fsfm_mm', ['fsfm_mm']),
        ('models', 'import fsfm_mm.datasets.collate', ['fsfm_mm.datasets.collate']),
        ('datasets', 'from fsfm_mm.models import necks', ['fsfm_mm.models']),
        ('apis', 'from fsfm_mm.checkpoints import from_reference', []),
        ('checkpoints', 'from fsfm_mm.apis import testing', ['fsfm_mm.apis']),
        ('checkpoints', 'from fsfm_mm.engine.stopping import x', ['fsfm_mm.engine.stopping']),
        ('engine', 'from fsfm_mm.checkpoints import read_card', ['fsfm_mm.checkpoints']),
        ('files', 'from fsfm_mm import statistics', ['fsfm_mm.statistics']),
        ('engine', "importlib.import_module('fsfm_mm.apis')", ['fsfm_mm.apis']),
        ('engine', 'from tools.train import main\nimport tests.golden', ['tools.train', 'tests.golden']),
        ('apis', 'from bench import measure\nimport plain.model', ['bench', 'plain.model']),
        ('models', 'from fsfm_mm.models.layers import Block\nimport torch', []),
        ('models', 'from fsfm_mm.ops.patches import patchify\nfrom fsfm_mm import schedules', []),
    ],
)
def test_the_check_itself(component, source, expected):
    assert offences(component, source) == expected


@pytest.mark.parametrize(
    'component, source, expected',
    [
        ('apis', 'from fsfm_mm.drawn.faces import GeneratedFaces', ['fsfm_mm.drawn.faces']),
        ('engine', 'def f():\n    from fsfm_mm import drawn', ['fsfm_mm.drawn']),
        ('models', 'import fsfm_mm.datasets', []),
        ('drawn', 'from fsfm_mm.drawn.forging import swap', []),
        ('components', 'from fsfm_mm import datasets, drawn', []),
    ],
)
def test_the_check_of_wings(component, source, expected):
    assert wings_imported(component, source) == expected
