"""Servers that answer with something else than they were asked for: no wrong file is ever joined or taken."""

import hashlib
import http.server
import threading
import urllib.error
import urllib.request

import pytest

from fsfm_mm.files import download
from fsfm_mm.files.download import MAX_WEIGHTS, _Redirects, weights_file

CONTENT = bytes(range(256)) * 40
HALF = len(CONTENT) // 2


def answer(status, body, length=True, **headers):
    """An answer: status, body, its length (True: the body's; None: not said), other headers with '_' for '-'."""
    return status, body, length, {name.replace('_', '-'): str(value) for name, value in headers.items()}


WHOLE = answer(200, CONTENT, ETag='"v1"')
CUT = answer(200, CONTENT[:HALF], len(CONTENT), ETag='"v1"')


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives the server's answers, one after the other; the last one again and again."""

    def do_GET(self):
        answers = self.server.answers
        self.server.ranges.append(self.headers.get('Range'))
        status, body, length, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header('Content-Length', str(len(body) if length is True else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    httpd = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    httpd.ranges = []
    httpd.url = f'http://127.0.0.1:{httpd.server_address[1]}/x.pt'
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def fetch(server, path, *answers, **options):
    server.answers = list(answers)
    return download(server.url, path / 'x', wait=0.0, attempts=3, **options)


def span(first, last, total):
    return f'bytes {first}-{last}/{total}'


WRONG = {
    'an earlier range': answer(206, CONTENT[:HALF], ETag='"v1"', Content_Range=span(0, HALF - 1, 2 * HALF)),
    'no range': answer(206, CONTENT[:HALF], ETag='"v1"'),
    'no such range': answer(206, CONTENT[HALF:], ETag='"v1"', Content_Range='bytes half'),
    'more than there is': answer(
        206, CONTENT[:HALF], ETag='"v1"', Content_Range=span(HALF, 2 * HALF - 1, 9 * HALF)
    ),
    'another length': answer(206, CONTENT[:9], ETag='"v1"', Content_Range=span(HALF, 2 * HALF - 1, 2 * HALF)),
    'several ranges': answer(
        206, b'--x\r\n' + CONTENT, ETag='"v1"', Content_Type='multipart/byteranges; boundary=x'
    ),
    'another version': answer(
        206, bytes(HALF), ETag='"v2"', Content_Range=span(HALF, 2 * HALF - 1, 2 * HALF)
    ),
    'another version without a name': answer(
        206, bytes(HALF + 1), Content_Range=span(HALF, 2 * HALF, 2 * HALF + 2)
    ),
}


@pytest.mark.parametrize('wrong', WRONG)
def test_another_range_than_asked_for_is_not_joined(server, tmp_path, wrong):
    path = fetch(server, tmp_path, CUT, WRONG[wrong], WHOLE)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, f'bytes={HALF}-', None]
    path.unlink()
    with pytest.raises(ConnectionError, match=r'x\.pt: the server (answers with another range|goes on with)'):
        fetch(server, tmp_path, CUT, *[WRONG[wrong], CUT] * 2, WRONG[wrong])
    assert not path.exists()


def test_the_right_range_is_joined(server, tmp_path):
    rest = answer(206, CONTENT[HALF:], ETag='"v1"', Content_Range=span(HALF, 2 * HALF - 1, 2 * HALF))
    assert fetch(server, tmp_path, CUT, rest).read_bytes() == CONTENT


@pytest.mark.parametrize(
    'wrong',
    [
        answer(
            206, CONTENT[HALF:], ETag='"v1"', Content_Range=span(HALF, 2 * HALF - 1, 2 * HALF)
        ),  # not asked for
        answer(200, CONTENT, Content_Encoding='gzip'),
        answer(204, b''),
        answer(
            200, CONTENT, None
        ),  # how long it should be is not said, so nobody knows whether it is cut off
        answer(200, CONTENT, 'many'),
        answer(200, CONTENT, len(CONTENT) + 1),
    ],
)
def test_what_may_be_no_whole_file_is_not_taken(server, tmp_path, wrong):
    with pytest.raises(ConnectionError, match=r'x\.pt: .*'):
        fetch(server, tmp_path, wrong)
    assert not (tmp_path / 'x').exists()


def test_without_a_length_the_checksum_tells(server, tmp_path):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert fetch(server, tmp_path, answer(200, CONTENT, None), sha256=sha256).read_bytes() == CONTENT
    (tmp_path / 'x').unlink()
    with pytest.raises(ValueError, match='gave another file than expected'):
        fetch(server, tmp_path, answer(200, CONTENT[:-1], None), sha256=sha256)


@pytest.mark.parametrize('target', ['ftp://127.0.0.1/x.pt', 'file:///etc/passwd', 'gopher://x'])
def test_nothing_but_the_web_is_sent_on_to(server, tmp_path, target):
    with pytest.raises(ConnectionError, match=r'302'):
        fetch(server, tmp_path, answer(302, b'', Location=target), WHOLE)
    assert server.ranges == [None]


@pytest.mark.parametrize('target', ['http://example.org/x', 'ftp://example.org/x', 'HTTP://example.org/x'])
def test_https_is_not_left(target):
    request = urllib.request.Request('https://example.org/x')
    with pytest.raises(urllib.error.HTTPError, match='which is not followed'):
        _Redirects().redirect_request(request, None, 302, 'Found', {}, target)
    followed = _Redirects().redirect_request(request, None, 302, 'Found', {}, 'https://example.net/y')
    assert followed.full_url == 'https://example.net/y'


def test_a_senseless_version_beside_a_part_is_not_sent(server, tmp_path):
    (tmp_path / 'x.part').write_bytes(CONTENT[:HALF])
    (tmp_path / 'x.part.version').write_bytes(b'"v1"\r\nHost: elsewhere\xff')
    assert fetch(server, tmp_path, WHOLE).read_bytes() == CONTENT and server.ranges == [None]


def test_weights_of_more_bytes_than_disks_have_are_not_read(tmp_path):
    with open(tmp_path / 'x.onnx', 'wb') as file:
        file.truncate(MAX_WEIGHTS + 1)
    with pytest.raises(ValueError, match=r'x\.onnx have 8589934593 bytes, more than .* name another file'):
        weights_file('x', tmp_path / 'x.onnx', 'https://x', '0' * 64, '--weights', 'nothing')
