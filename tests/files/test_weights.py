"""Weights from the user's file, the cache, or a server; checked, and clear when there is none."""

import hashlib
import http.server
import re
import socket
import threading
from pathlib import Path

import pytest

from fsfm_mm.files import weights_file
from fsfm_mm.files.download import cache_folder, download

CONTENT = b'weights' * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NO_URL = 'http://127.0.0.1:9/never/asked.onnx'


def fetch(path, url, sha256):
    return weights_file('net.onnx', path, url, sha256, '--detector-weights', '--detector other')


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path != '/net.onnx':
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header('Content-Length', str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    httpd = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    httpd.content, httpd.requests = CONTENT, []
    httpd.url = f'http://127.0.0.1:{httpd.server_address[1]}'
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('FSFM_MM_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # between the attempts
    return tmp_path / 'cache' / 'weights' / 'net.onnx'


def test_a_given_file_is_checked(tmp_path):
    path = tmp_path / 'mine.onnx'
    with pytest.raises(ValueError, match=r'mine.onnx do not exist'):
        fetch(path, NO_URL, SHA256)
    path.write_bytes(CONTENT)
    assert fetch(str(path), NO_URL, SHA256.upper()) == path
    path.write_bytes(b'others')
    assert fetch(path, NO_URL, None) == path
    found = hashlib.sha256(b'others').hexdigest()
    with pytest.raises(
        ValueError, match=rf'mine.onnx are not the expected ones: .* is {found}, not {SHA256}'
    ):
        fetch(path, NO_URL, SHA256)
    assert path.read_bytes() == b'others'


def test_fetched_once(server, cache):
    for _ in range(2):
        assert fetch(None, f'{server.url}/net.onnx', SHA256) == cache
        assert cache.read_bytes() == CONTENT
    assert server.requests == ['/net.onnx']


def test_what_arrives_wrong_is_deleted(server, cache):
    server.content = b'<html>log in first</html>'
    with pytest.raises(
        ValueError, match=rf'/net.onnx gave another file than expected \(25 bytes .* not {SHA256}'
    ):
        fetch(None, f'{server.url}/net.onnx', SHA256)
    assert [path.suffix for path in cache.parent.iterdir()] in ([], ['.lock'])
    server.content = CONTENT
    assert fetch(None, f'{server.url}/net.onnx', SHA256).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache(cache):
    cache.parent.mkdir(parents=True)
    cache.write_bytes(CONTENT[:-1])
    with pytest.raises(
        ValueError, match=rf'{re.escape(str(cache))} are not .*; delete it, and it is fetched again'
    ):
        fetch(None, NO_URL, SHA256)
    cache.write_bytes(CONTENT)
    assert fetch(None, NO_URL, SHA256) == cache
    assert list(cache.parent.iterdir()) == [cache]  # no lock: a shared cache may be read-only


def test_without_a_network(server, cache):
    with socket.socket() as free:  # bound, but nobody listens
        free.bind(('127.0.0.1', 0))
        offline = f'http://127.0.0.1:{free.getsockname()[1]}/net.onnx'
        for url, reason in ((offline, 'refused'), (f'{server.url}/gone.onnx', '404')):
            with pytest.raises(ConnectionError) as caught:
                fetch(None, url, SHA256)
            message = str(caught.value)
            assert (
                reason in message
                and url in message
                and str(cache) in message
                and '--detector-weights FILE' in message
            )
    assert not cache.exists()


def test_the_cache_folder(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / 'cache'
    monkeypatch.delenv('FSFM_MM_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert cache_folder() == tmp_path / 'fsfm_mm'
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert cache_folder() == Path.home() / '.cache' / 'fsfm_mm'


def test_a_download_without_a_checksum_is_taken_as_it_is(server, tmp_path):
    server.content = b'anything'
    assert download(f'{server.url}/net.onnx', tmp_path / 'x').read_bytes() == b'anything'


def test_what_cannot_be_fetched_names_the_next_best(cache):
    with pytest.raises(
        ConnectionError, match=r'never/asked\.onnx by other means .* or take --detector other'
    ):
        fetch(None, NO_URL, SHA256)
