"""The Ray engine drives the same chunks; a small stand-in takes Ray's place where it is not installed."""

import builtins
import os
import sys
import types

import pytest
from engine_fakes import MACHINE_MARKS, MARKS, execution, settings, tree, write_pictures

from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.preparation.run import prepare


class StandIn(types.ModuleType):
    """The few calls of Ray's that are used: tasks that run here, or die where told to."""

    def __init__(self, dying=()):
        super().__init__('ray')
        self.exceptions = types.SimpleNamespace(
            WorkerCrashedError=type('WorkerCrashedError', (Exception,), {})
        )
        self.results, self.dying, self.options = {}, dying, None

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {'CPU': 2.0}

    def remote(self, **options):
        self.options = options
        return lambda function: types.SimpleNamespace(remote=lambda *args: self._submit(function, args))

    def _submit(self, function, args):
        reference = len(self.results)
        self.results[reference] = (function, args)
        return reference

    def wait(self, references, num_returns):
        assert len(references) <= 4 and num_returns == 1  # few at once
        return [references[-1]], references[:-1]

    def get(self, reference):
        function, args = self.results[reference]
        if args[-1].number in self.dying:
            raise self.exceptions.WorkerCrashedError
        return function(*args)


def test_the_same_files_as_without(tmp_path, monkeypatch):
    items = write_pictures(tmp_path / 'photos', 22)
    prepare(items, tmp_path / 'whole', settings(), execution())
    ray = StandIn()
    monkeypatch.setitem(sys.modules, 'ray', ray)
    outcome = prepare(items, tmp_path / 'out', settings(), execution(), engine='ray')
    assert outcome.complete and len(ray.results) == 6
    assert ray.options == dict(num_cpus=1, num_gpus=0, max_retries=1)
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_a_chunk_whose_process_dies_is_worked_on_here(tmp_path, monkeypatch):
    items = write_pictures(tmp_path / 'photos', 6, exits=MARKS['exit'])
    monkeypatch.setitem(sys.modules, 'ray', StandIn(dying=(1,)))
    outcome = prepare(items, tmp_path / 'out', settings(), execution(1), engine='ray')
    assert outcome.tally.statuses == {'ok': 6, 'crashed': 1}


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == 'ray':
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', missing)
    items = write_pictures(tmp_path / 'photos', 1)
    with pytest.raises(ValueError, match='--engine ray needs Ray: pip install ray'):
        prepare(items, tmp_path / 'out', settings(), execution(), engine='ray')


@pytest.mark.slow
def test_two_machines_give_the_same_files(tmp_path, monkeypatch):
    """Two nodes of a Ray cluster, both on this machine, each with a process; one file kills its process."""
    ray = pytest.importorskip('ray')
    from ray.cluster_utils import Cluster

    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([*sys.path, os.environ.get('PYTHONPATH', '')]))
    items = write_pictures(tmp_path / 'photos', 22, exits=MARKS['exit'])
    prepare(items, tmp_path / 'whole', settings(), execution(1))
    cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=1, include_dashboard=False))
    try:
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        assert len([node for node in ray.nodes() if node['Alive']]) == 2
        outcome = prepare(items, tmp_path / 'out', settings(), execution(1), engine='ray')
        assert outcome.tally.statuses == {'ok': 22, 'crashed': 1}
        assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')
        items = write_pictures(tmp_path / 'others', 6, victim=next(iter(MACHINE_MARKS)))
        sentence = r'^detector or parser cannot work on this machine \(MemoryError: it is all used up\)'
        with pytest.raises(StoppedError, match=sentence):
            prepare(items, tmp_path / 'stopped', settings(), execution(1), engine='ray')
    finally:
        ray.shutdown()
        cluster.shutdown()
