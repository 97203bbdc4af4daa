"""Reading runs nothing and names what is wrong; writing is whole or not at all."""

import argparse
import io
import os
import pickle
import pickletools
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

from fsfm_mm.checkpoints import read_card
from fsfm_mm.files import checkpoint_files as saving
from fsfm_mm.files import writing
from fsfm_mm.files.checkpoint_files import check_whole, load_checkpoint_file, pickled_globals
from fsfm_mm.files.checkpoint_files import save_checkpoint_file as save

ZIP, LEGACY = True, False
TENSORS = {'a': torch.arange(6.0).reshape(2, 3), 'b.weight': torch.tensor([1, -2])}


class Payload:
    """Unpickling calls ``function(*args)``."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def write(obj, path, as_zip, protocol=2):
    torch.save(obj, path, _use_new_zipfile_serialization=as_zip, pickle_protocol=protocol)
    return path


def touch_globals(name):
    """getattr chains, the way around lists that allow getattr: HistoryBuffer.__init__.__globals__."""
    return Payload(getattr, Payload(getattr, HistoryBuffer, '__init__'), name)


@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize('as_zip', [ZIP, LEGACY])
@pytest.mark.parametrize(
    'function, name',
    [(os.system, r'(posix|os)\.system'), (eval, 'eval'), (exec, 'exec'), (__import__, '__import__')],
)
def test_a_malicious_pickle_does_not_run(tmp_path, function, name, as_zip, protocol):
    marker = tmp_path / 'ran'
    command = {
        os.system: f'touch {marker}',
        __import__: 'this_module_would_be_imported',
    }.get(function, f'open({str(marker)!r}, "w").close()')
    path = write({'model': TENSORS, 'x': Payload(function, command)}, tmp_path / 'evil.pth', as_zip, protocol)
    with pytest.raises(ValueError, match=rf'asks for .*{name}.*--trust \(trust=True\)'):
        load_checkpoint_file(path)
    assert not marker.exists()
    if function is os.system:  # the payload is a live one: with trust it runs
        load_checkpoint_file(path, trust=True)
        assert marker.exists()


@pytest.mark.parametrize('as_zip', [ZIP, LEGACY])
def test_getattr_reaches_nothing_but_log_buffers(tmp_path, as_zip):
    path = write({'x': touch_globals('__globals__')}, tmp_path / 'evil.pth', as_zip)
    with pytest.raises(ValueError, match=r'asks for builtins\.getattr'):
        load_checkpoint_file(path)


def test_a_class_of_one_s_own_is_named(tmp_path):
    path = write({'model': TENSORS, 'x': Own()}, tmp_path / 'own.pth', ZIP)
    with pytest.raises(ValueError, match=r'asks for test_checkpoint_files\.Own'):
        load_checkpoint_file(path)
    assert isinstance(load_checkpoint_file(path, trust=True)['x'], Own)


class Own:
    pass


def mm_checkpoint():
    buffer = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 2])
    return {
        'state_dict': TENSORS,
        'args': argparse.Namespace(lr=1e-3, names=['a'], sizes=(1, 2)),
        'meta': {'dataset_meta': ConfigDict(classes=('fake', 'real'), nested=dict(a=1)), 'epoch': 3},
        'message_hub': {
            'log_scalars': {'loss': buffer},
            'runtime_info': {'best': np.float64(0.5), 'n': np.int64(3), 'flag': np.bool_(True)},
            'array': np.arange(4, dtype=np.float32),
        },
    }


@pytest.mark.parametrize('as_zip', [ZIP, LEGACY])
def test_what_checkpoints_really_hold_is_read(tmp_path, as_zip):
    path = write(mm_checkpoint(), tmp_path / 'mm.pth', as_zip)
    loaded = load_checkpoint_file(path)
    for key, value in TENSORS.items():
        assert torch.equal(loaded['state_dict'][key], value)
    assert vars(loaded['args']) == {'lr': 1e-3, 'names': ['a'], 'sizes': (1, 2)}
    assert loaded['meta']['dataset_meta'] == {'classes': ('fake', 'real'), 'nested': {'a': 1}}
    assert type(loaded['meta']['dataset_meta']) is dict
    hub = loaded['message_hub']
    assert hub['log_scalars']['loss'].mean() == (1.0 + 2.0 + 6.0) / 4
    assert hub['log_scalars']['loss'].statistics('max') == 6.0
    assert (hub['runtime_info']['best'], hub['runtime_info']['n']) == (0.5, 3)
    assert hub['runtime_info']['flag'].item() is True
    assert np.array_equal(hub['array'], np.arange(4)) and hub['array'].dtype == np.float32


def test_reading_leaves_torch_s_own_list_alone(tmp_path):
    before = set(map(str, torch.serialization.get_safe_globals()))
    load_checkpoint_file(write(mm_checkpoint(), tmp_path / 'mm.pth', ZIP))
    assert set(map(str, torch.serialization.get_safe_globals())) == before


@pytest.mark.parametrize('form', ['zip', 'legacy', 'safetensors'])
def test_a_file_cut_anywhere_is_named_as_such(tmp_path, form):
    path = tmp_path / ('x.safetensors' if form == 'safetensors' else 'x.pth')
    if form == 'safetensors':
        save(TENSORS, path)
    else:
        write({'model': TENSORS, 'args': argparse.Namespace(a=1)}, path, form == 'zip')
    assert load_checkpoint_file(path)
    whole = path.read_bytes()
    lengths = range(len(whole)) if form != 'zip' else [*range(0, len(whole), 7), len(whole) - 1]
    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(
            ValueError, match=r'is cut short|is empty|it is cut short after a few bytes'
        ) as caught:
            load_checkpoint_file(path)
        assert '\n' not in str(caught.value) and '--trust' not in str(caught.value), length
        with pytest.raises(ValueError, match=r'cut short|empty'):
            load_checkpoint_file(path, trust=True)


def test_a_damaged_directory_of_the_archive_is_named_as_such(tmp_path):
    """Any byte of it: the reader goes astray in many ways (BadZipFile, OSError, NotImplementedError, ...)."""
    path = write({'model': TENSORS}, tmp_path / 'x.pth', ZIP)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    refused = 0
    for place in range(start, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        for read in (check_whole, load_checkpoint_file):
            try:
                read(path)
            except ValueError as error:  # noqa: PERF203 - the loop is the test
                refused += 1
                assert str(path) in str(error) and '\n' not in str(error), place
    assert refused > 400


def npz():
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    return stream.getvalue()


@pytest.mark.parametrize(
    'content, sentence',
    [
        (b'', 'is empty'),
        (b'<!DOCTYPE html><html><body>Sign in</body></html>', 'is a web page'),
        (b'\n  <html lang="en"><body>gone</body></html>', 'is a web page'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n', 'Git LFS pointer'),
        (npz(), 'a zip archive that torch.save did not write'),
        (pickle.dumps({'model': 1}), 'a pickle, but not one that torch.save wrote'),
        (b'{"mean": [0, 0, 0]}' + b' ' * 60, 'found'),
        (b'\x7fELF' + bytes(60), 'expected a zip archive or pickle of torch.save or a safetensors file'),
        (b'\x05\x00\x00\x00\x00\x00\x00\x00{oops' + bytes(9), 'safetensors header is no such JSON'),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content, sentence):
    path = tmp_path / 'x.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        load_checkpoint_file(path)


def huge_array():
    """An array of 16 TiB: a pickle says how large it is before it says what is in it."""
    return Payload(np._core.multiarray._reconstruct, np.ndarray, (1 << 44,), b'b')


def many_laughs():
    value = ['x']
    for _ in range(60):
        value = [value, value]
    return value


CONTENTS = {
    'no state dict': ({'state_dict': None}, 'state_dict must hold tensors by name, but is None'),
    'a list for a state dict': ({'state_dict': [1]}, r'state_dict must hold tensors by name, but is \[1\]'),
    'numbers for names': (
        {'state_dict': {3: torch.zeros(1)}},
        'names in state_dict must be texts, but one is 3',
    ),
    'numbers for names of a model': ({'model': {3: torch.zeros(1)}}, 'the names in model must be texts'),
    'numbers for names outside': ({3: torch.zeros(1)}, 'the names in it must be texts, but one is 3'),
    '16 TiB': ({'a': huge_array()}, r'is cut short or damaged \(.*16\.0 TiB'),
    'much from little': (
        {'state_dict': {'a': torch.zeros(1).expand(1 << 40)}},
        r'\d+ bytes stand for tensors of 4398046511104',
    ),
    'a sparse tensor': (
        {'state_dict': {'a': torch.eye(2).to_sparse()}},
        'a is a tensor without values or a sparse',
    ),
    'a tensor without values': (
        {'state_dict': {'a': torch.zeros(2, device='meta')}},
        'a is a tensor without',
    ),
}


@pytest.mark.parametrize('as_zip', [ZIP, LEGACY])
@pytest.mark.parametrize('name', CONTENTS)
def test_contents_that_are_no_weights_are_refused_in_one_sentence(tmp_path, name, as_zip):
    content, sentence = CONTENTS[name]
    path = write(content, tmp_path / 'x.pth', as_zip)
    with pytest.raises(ValueError, match=sentence) as caught:
        load_checkpoint_file(path)
    assert 'x.pth' in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) <= 300


def test_a_card_that_repeats_itself_without_end_is_refused(tmp_path):
    path = write({'state_dict': TENSORS, 'card': {'model': {'a': many_laughs()}}}, tmp_path / 'x.pth', ZIP)
    with pytest.raises(
        ValueError, match=r'x\.pth: its card cannot be used \(it has more than 100000 entries'
    ):
        read_card(path)


@pytest.mark.parametrize('as_zip', [ZIP, LEGACY])
def test_a_name_of_any_length_is_refused_at_once(tmp_path, as_zip):
    # torch's own refusal searches its message for a time that grows with the square of the name
    path = write({'a': Own()}, tmp_path / 'x.pth', as_zip)
    data = path.read_bytes()
    name = b'ctest_checkpoint_files\nOwn\n'
    assert data.count(name) == 1
    if as_zip:
        with zipfile.ZipFile(path) as archive:
            members = {n: archive.read(n) for n in archive.namelist()}
        with zipfile.ZipFile(path, 'w') as archive:
            for n, content in members.items():
                archive.writestr(n, content.replace(name, b'c' + b'x' * 2_000_000 + b'\nOwn\n'))
    else:
        path.write_bytes(data.replace(name, b'c' + b'x' * 2_000_000 + b'\nOwn\n'))
    with pytest.raises(ValueError, match='a name of more than 1000 characters'):
        load_checkpoint_file(path)


def rezipped(path, change):
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in change(members):
            archive.writestr(name, content)


def test_archives_that_show_one_thing_and_hold_another(tmp_path):
    path = write(TENSORS, tmp_path / 'x.pth', ZIP)
    rezipped(path, lambda members: [('decoy/data.pkl', pickle.dumps({})), *members])
    with pytest.raises(ValueError, match=r'it has more than one data\.pkl'):
        load_checkpoint_file(path)
    write({'a': torch.arange(1000.0)}, path, ZIP)
    with zipfile.ZipFile(path) as archive:  # the same bytes under many names
        parts = [archive.getinfo(name) for name in archive.namelist()]
    largest = max(parts, key=lambda part: part.file_size)
    with zipfile.ZipFile(path, 'a') as archive:
        for number in range(9):
            copy = zipfile.ZipInfo(f'x/data/{number + 1}')
            for field in ('CRC', 'compress_size', 'file_size', 'header_offset'):
                setattr(copy, field, getattr(largest, field))
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
            archive._didModify = True
    with pytest.raises(ValueError, match='its parts together are longer than the file'):
        load_checkpoint_file(path)


@pytest.mark.parametrize('keys', [['0', 1, 2], 5, None, ['no such'], [b'0']])
def test_storage_keys_of_the_legacy_format(tmp_path, keys):
    path = write(TENSORS, tmp_path / 'x.pth', LEGACY)
    data = path.read_bytes()
    stream = io.BytesIO(data)
    for _ in range(4):
        for _ in pickletools.genops(stream):
            pass
    start = stream.tell()
    for _ in pickletools.genops(stream):
        pass
    path.write_bytes(data[:start] + pickle.dumps(keys, protocol=2) + data[stream.tell() :])
    with pytest.raises(ValueError, match=r'x\.pth (is cut short or damaged|was not loaded)') as caught:
        load_checkpoint_file(path)
    assert len(str(caught.value)) <= 300


HEADERS = [
    '"text"',
    'null',
    '[]',
    '[' * 200_000,
    '3',
    '{"a": null}',
    '{"a": {"data_offsets": [0, "x"]}}',
    '{"a": []}',
]
METADATA = ['[]', '"x"', '{"card": 3}', '{"card": "{"}', '{"card": "' + '[' * 200_000 + '"}']


@pytest.mark.parametrize('header', HEADERS + [f'{{"__metadata__": {metadata}}}' for metadata in METADATA])
def test_headers_of_safetensors(tmp_path, header):
    path = tmp_path / 'x.safetensors'
    header = header.encode()
    path.write_bytes(len(header).to_bytes(8, 'little') + header)
    with pytest.raises(ValueError, match=r'x\.safetensors') as caught:
        load_checkpoint_file(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) <= 300


def test_other_things_that_are_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=r'is a folder: expected a checkpoint file'):
        load_checkpoint_file(tmp_path)
    with pytest.raises(ValueError, match=r'cannot be read .No such file'):
        load_checkpoint_file(tmp_path / 'none.pth')
    with pytest.raises(ValueError, match=r'expected a dictionary .* found a list'):
        load_checkpoint_file(write([TENSORS], tmp_path / 'list.pth', ZIP))
    module = torch.nn.Linear(2, 2)
    torch.jit.script(module).save(str(tmp_path / 'script.pt'))
    with pytest.raises(ValueError, match='TorchScript program'):
        load_checkpoint_file(tmp_path / 'script.pt')
    torch.save(module, tmp_path / 'module.pth')
    with pytest.raises(ValueError, match=r'asks for torch\.nn\.modules\.linear\.Linear'):
        load_checkpoint_file(tmp_path / 'module.pth')
    with pytest.raises(ValueError, match=r'expected a dictionary .* found a Linear'):
        load_checkpoint_file(tmp_path / 'module.pth', trust=True)


def test_the_content_decides_not_the_name(tmp_path):
    save(TENSORS, tmp_path / 'x.safetensors')
    (tmp_path / 'x.safetensors').rename(tmp_path / 'x.pth')
    assert torch.equal(load_checkpoint_file(tmp_path / 'x.pth')['state_dict']['a'], TENSORS['a'])
    path = write({'state_dict': TENSORS}, tmp_path / 'y.safetensors', ZIP)
    assert torch.equal(load_checkpoint_file(path)['state_dict']['a'], TENSORS['a'])


def test_globals_of_a_pickle():
    class_list = pickled_globals(io.BytesIO(pickle.dumps([HistoryBuffer, argparse.Namespace], protocol=4)))
    assert class_list == ['mmengine.logging.history_buffer.HistoryBuffer', 'argparse.Namespace']
    again = pickled_globals(io.BytesIO(pickle.dumps([os.path.join, argparse.Namespace], protocol=2)))
    assert again == ['posixpath.join', 'argparse.Namespace']


@pytest.mark.parametrize('name', ['x.pth', 'deeper/x.safetensors'])
def test_round_trip(tmp_path, name):
    shared = torch.arange(4.0)
    state = {**TENSORS, 'c': shared, 'd': shared, 't': torch.arange(6.0).reshape(2, 3).t()}
    card = {'classes': ['fake', 'réal'], 'mean': [0.1, 0.2, 0.3], 'threshold': None}
    save({'state_dict': state, 'card': card}, tmp_path / name)
    loaded = load_checkpoint_file(tmp_path / name)
    assert set(loaded) == {'state_dict', 'card'} and set(loaded['state_dict']) == set(state)
    assert all(torch.equal(loaded['state_dict'][key], value) for key, value in state.items())
    assert all(loaded['state_dict'][key].dtype == value.dtype for key, value in state.items())
    assert loaded['card'] == card


def test_safetensors_takes_tensors_only(tmp_path):
    path = tmp_path / 'x.safetensors'
    with pytest.raises(ValueError, match=r"tensors and the card only, found \['optimizer', 'lr'\]"):
        save({'state_dict': {**TENSORS, 'lr': 1.0}, 'optimizer': {}}, path)
    with pytest.raises(ValueError, match=r"found \['epoch'\]"):
        save({**TENSORS, 'epoch': 3}, path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'x.pth'
    save({'state_dict': TENSORS}, path)
    before = path.read_bytes()

    def half(obj, file):
        file.write_bytes(before[: len(before) // 2])
        raise OSError('No space left on device')

    monkeypatch.setattr(saving.torch, 'save', half)
    with pytest.raises(OSError, match='No space left'):
        save({'state_dict': {}}, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ['x.pth']


def test_the_new_file_appears_whole_after_it_is_on_the_disk(tmp_path, monkeypatch):
    path = tmp_path / 'x.pth'
    events = []
    sync, replace = writing._sync, os.replace
    monkeypatch.setattr(writing, '_sync', lambda p: (events.append(('sync', p.name, path.exists())), sync(p)))
    monkeypatch.setattr(
        os, 'replace', lambda a, b: (events.append(('replace', a.name, b.name)), replace(a, b))
    )
    save({'state_dict': TENSORS}, path)
    part = events[0][1]
    assert part.endswith('.part')
    assert events == [('sync', part, False), ('replace', part, 'x.pth'), ('sync', tmp_path.name, True)]
    assert zipfile.is_zipfile(path)
