"""The lock file is what the requirements ask for, exact, and what is installed: works without a network."""

from __future__ import annotations

import re
import sysconfig
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def distributions():
    """What is installed; setuptools brings copies of its own onto the path, which do not count."""
    return Distribution.discover(path=[sysconfig.get_path('purelib')])


def lines(name):
    text = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [
        line.split(' #')[0].strip() for line in text if line.strip() and not line.lstrip().startswith('#')
    ]


def locked():
    """Name -> exact version, for the running Python."""
    requirements = [Requirement(line) for line in lines('lock')]
    return {
        canonicalize_name(r.name): next(iter(r.specifier)).version
        for r in requirements
        if r.marker is None or r.marker.evaluate()
    }


def test_every_line_of_the_lock_is_one_exact_version_from_the_registry():
    for line in lines('lock'):
        # no addresses, no paths, no options: nothing that would be fetched from elsewhere
        assert re.fullmatch(
            r'[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( *; *python_version *[<>=]+ *"3\.\d+")?', line
        ), line


def test_no_package_is_locked_twice_for_one_python():
    for version in ('3.10', '3.11', '3.12', '3.13'):
        names = []
        for line in lines('lock'):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({'python_version': version}):
                names.append(canonicalize_name(requirement.name))
        assert len(names) == len(set(names)), version


@pytest.mark.parametrize('file', ['runtime', 'dev'])
def test_the_lock_satisfies_the_ranges(file):
    versions = locked()
    for line in lines(file):
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert name in versions, f'{line} is not in requirements/lock.txt'
        assert requirement.specifier.contains(versions[name], prereleases=True), (
            f'{line}: locked {versions[name]}'
        )


def test_the_lock_holds_all_that_is_needed_by_what_it_holds():
    versions = locked()
    missing = []
    for distribution in distributions():
        if canonicalize_name(distribution.metadata['Name']) not in versions:
            continue
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({'extra': ''}):
                name = canonicalize_name(requirement.name)
                if name not in versions and name not in ('pip', 'setuptools'):
                    missing.append(f'{distribution.metadata["Name"]} needs {name}')
    assert missing == []


def test_what_is_installed_is_what_was_locked():
    installed = {canonicalize_name(d.metadata['Name']): d.version for d in distributions()}
    differing = {
        name: (version, installed.get(name))
        for name, version in locked().items()
        if installed.get(name) not in (version, None)
    }
    if differing and not (ROOT / '.venv').is_dir():
        pytest.skip('not the environment that make builds from the lock file')
    assert differing == {}


def test_the_two_families_of_openmmlab_packages_are_not_mixed():
    assert not {'mmengine', 'mmcv', 'mmcv-lite', 'mmpretrain', 'onedl'} & set(locked())
