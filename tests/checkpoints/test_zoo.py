"""Published weights by name: from the disk, a mirror or the hub; resumed, checked, and clear offline."""

import functools
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import hf_hub_url

from fsfm_mm.checkpoints import fetch, zoo, zoo_names
from fsfm_mm.files import download, sha256_of
from fsfm_mm.models.backbones.fused_attention_vit import ARCHS
from fsfm_mm.statistics import PUBLISHED

NAME = 'fsfm-vit-base-vggface2'
CONTENT = bytes(range(256)) * 5000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file with ranges, as the server's ``state`` says; cuts the first answers short."""

    def do_GET(self):
        state = self.server.state
        state['requests'].append((self.path, self.headers.get('Range'), self.headers.get('If-Range')))
        if state['status'] != 200:
            self.send_error(state['status'])
            return
        content, tag = state['content'], state['tag']
        start = 0
        match = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range') or '')
        if match and state['ranges'] and self.headers.get('If-Range') == tag:
            start = int(match.group(1))
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        if tag:
            self.send_header('ETag', tag)
        self.send_header('Content-Length', str(len(content) - start))
        self.end_headers()
        amount = state['cuts'].pop(0) if state['cuts'] else len(content)
        self.wfile.write(content[start : start + amount])
        if state['after']:
            state['after'].pop(0)(state)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    httpd = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    httpd.state = dict(content=CONTENT, tag='"v1"', ranges=True, cuts=[], after=[], status=200, requests=[])
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield httpd.state, f'http://127.0.0.1:{httpd.server_address[1]}'
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """No test touches the user's caches or the network."""
    monkeypatch.setenv('FSFM_MM_ZOO_DIR', str(tmp_path / 'zoo'))
    monkeypatch.setattr(huggingface_hub, 'try_to_load_from_cache', lambda *args: None)

    def no_network(*args, **kwargs):
        raise AssertionError('the hub was asked')

    monkeypatch.setattr(huggingface_hub, 'hf_hub_url', no_network)


@pytest.fixture
def mirror(server, monkeypatch):
    """The server as a mirror of the hub; its state."""
    state, url = server
    monkeypatch.setattr(huggingface_hub, 'hf_hub_url', functools.partial(hf_hub_url, endpoint=url))
    return state


def quick(url, path, **kwargs):
    return download(url, path, wait=0.0, **kwargs)


def test_a_cut_download_goes_on_where_it_was(server, tmp_path):
    state, url = server
    state['cuts'] = [400_000, 500_000]
    quick(f'{url}/a', tmp_path / 'a')
    assert (tmp_path / 'a').read_bytes() == CONTENT
    ranges = [request[1:] for request in state['requests']]
    assert ranges == [(None, None), ('bytes=400000-', '"v1"'), ('bytes=900000-', '"v1"')]
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix != '.lock') == ['a']


def test_a_later_call_goes_on_too(server, tmp_path):
    state, url = server
    state['cuts'] = [300_000] + [0] * 2
    with pytest.raises(ConnectionError, match='the connection was cut'):
        quick(f'{url}/a', tmp_path / 'a', attempts=2)
    assert not (tmp_path / 'a').exists() and (tmp_path / 'a.part').stat().st_size == 300_000
    quick(f'{url}/a', tmp_path / 'a')
    assert (tmp_path / 'a').read_bytes() == CONTENT
    assert state['requests'][-1][1] == 'bytes=300000-'


@pytest.mark.parametrize('tag, ranges', [('"v1"', False), ('', True), ('W/"v1"', True)])
def test_without_ranges_or_a_version_it_begins_anew(server, tmp_path, tag, ranges):
    state, url = server
    state.update(tag=tag, ranges=ranges, cuts=[400_000])
    quick(f'{url}/a', tmp_path / 'a')
    assert (tmp_path / 'a').read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_joined(server, tmp_path):
    state, url = server
    other = CONTENT[::-1]
    state['cuts'] = [400_000]
    state['after'] = [lambda s: s.update(content=other, tag='"v2"')]
    quick(f'{url}/a', tmp_path / 'a')
    assert (tmp_path / 'a').read_bytes() == other


def test_a_part_that_is_too_long_begins_anew(server, tmp_path):
    _, url = server
    (tmp_path / 'a.part').write_bytes(CONTENT + b'more')
    (tmp_path / 'a.part.version').write_text('"v1"')
    quick(f'{url}/a', tmp_path / 'a')
    assert (tmp_path / 'a').read_bytes() == CONTENT


def test_refusals_of_the_server(server, tmp_path):
    state, url = server
    state['status'] = 404
    with pytest.raises(ConnectionError, match='the server answers 404 Not Found'):
        quick(f'{url}/a', tmp_path / 'a')
    assert len(state['requests']) == 1
    state['status'] = 503
    with pytest.raises(ConnectionError, match='503'):
        quick(f'{url}/a', tmp_path / 'a', attempts=3)
    assert len(state['requests']) == 4
    with pytest.raises(ValueError, match=r"expected an http\(s\) address, found 'file:///etc/passwd'"):
        quick('file:///etc/passwd', tmp_path / 'a')


def test_two_at_once_download_once(server, tmp_path):
    state, url = server
    threads = [threading.Thread(target=quick, args=(f'{url}/a', tmp_path / 'a')) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / 'a').read_bytes() == CONTENT and len(state['requests']) == 1


def test_mirror_then_disk_and_the_licence_once(mirror, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(zoo, 'print_log', lambda message, **kwargs: said.append(message))
    path = fetch(NAME)
    assert path == tmp_path / 'zoo' / NAME / 'checkpoint-400.pth' and path.read_bytes() == CONTENT
    folder = '/Wolowolo/fsfm-3c/resolve/main/pretrained_models'
    assert mirror['requests'][0][0] == f'{folder}/VF2_ViT-B/checkpoint-400.pth'
    assert fetch(NAME) == path and len(mirror['requests']) == 1
    assert len(said) == 1 and 'CC BY-NC 4.0' in said[0] and 'no commercial use' in said[0]
    fetch('fsfm-vit-base-ffpp-o', 'stats')
    assert mirror['requests'][1][0] == f'{folder}/FF%2B%2B_o_c23_ViT-B/pretrain_ds_mean_std.txt'


def test_a_mirror_is_named_as_for_the_hub_s_own_tools():
    command = 'import huggingface_hub as h; print(h.hf_hub_url("a/b", "c"), h.constants.HF_HUB_OFFLINE)'
    settings = {'HF_ENDPOINT': 'https://mirror.example/', 'HF_HUB_OFFLINE': '1'}
    found = subprocess.run(
        [sys.executable, '-c', command], env={**os.environ, **settings}, capture_output=True, text=True
    )
    assert found.stdout.split() == ['https://mirror.example/a/b/resolve/main/c', 'True']


def with_checksum(monkeypatch, checksum):
    table = json.loads(json.dumps(zoo._zoo()))
    table['models'][NAME]['sha256']['online'] = checksum
    monkeypatch.setattr(zoo, '_zoo', lambda: table)


def test_checksums(mirror, monkeypatch):
    with_checksum(monkeypatch, hashlib.sha256(CONTENT).hexdigest())
    path = fetch(NAME)
    assert sha256_of(path) == hashlib.sha256(CONTENT).hexdigest()
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(
        ValueError, match=r'is not the published file: its SHA-256 is not .* delete it and fetch'
    ):
        fetch(NAME)


def test_the_hub_s_cache_comes_first(tmp_path, monkeypatch):
    asked = []

    def from_cache(*args):
        asked.append(args)
        return str(tmp_path / 'blob')

    (tmp_path / 'blob').write_bytes(b'x')
    monkeypatch.setattr(huggingface_hub, 'try_to_load_from_cache', from_cache)
    assert fetch('fs-vfm-vit-large-vggface2', 'target') == tmp_path / 'blob'
    assert asked == [
        ('Wolowolo/fsfm-3c', 'pretrained_models/FS-VFM_ViT-L_VF2_600e/checkpoint-te-599.pth'),
    ]


@pytest.mark.parametrize('told', [True, False])
def test_offline_says_where_from_and_where_to(mirror, monkeypatch, told):
    def offline(*args, **kwargs):
        raise OSError('Network is unreachable\nand a second line')

    monkeypatch.setattr(zoo, 'download', offline)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', told)
    with pytest.raises(ConnectionError) as caught:
        fetch(NAME)
    message = str(caught.value)
    assert 'https://huggingface.co/Wolowolo/fsfm-3c/resolve/main/pretrained_models/VF2_ViT-B/' in message
    target = re.search(r'put it at (\S+),', message).group(1)
    assert '\n' not in message and ('HF_HUB_OFFLINE is set' if told else 'Network is unreachable') in message
    Path(target).parent.mkdir(parents=True)
    Path(target).write_bytes(b'by hand')
    assert fetch(NAME) == Path(target)
    assert mirror['requests'] == []


def test_the_table():
    assert zoo_names() == (
        'fsfm-vit-base-vggface2',
        'fsfm-vit-base-ffpp-o',
        'fs-vfm-vit-small-vggface2',
        'fs-vfm-vit-base-vggface2',
        'fs-vfm-vit-large-vggface2',
    )
    for name in zoo_names():
        entry = zoo.zoo_entry(name)
        assert entry['statistics'] in PUBLISHED and entry['source'] == 'fsfm-pretrain'
        assert set(entry['files']) == set(entry['sha256']) == set(zoo.PARTS)
        assert entry['arch'] in name
        assert entry['num_heads'] == ARCHS[entry['arch']][2]
    with pytest.raises(ValueError, match='is not one of the published weights: fsfm-vit-base-vggface2'):
        fetch('fsfm-vit-huge')
    with pytest.raises(ValueError, match='part must be one of'):
        fetch(NAME, 'optimizer')
