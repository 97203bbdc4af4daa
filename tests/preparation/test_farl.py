"""FaRL's parsers through facer's own class, with a small TorchScript network in the place of the weights."""

import http.server
import threading
import warnings

import numpy as np
import pytest
import torch
from drawn_crops import ColourRule, drawn_crop, iou, painted
from facer.face_parsing.farl import pretrain_settings

from fsfm_mm.files import sha256_of
from fsfm_mm.preparation.parsers.farl import FaRLParser
from fsfm_mm.regions import LABEL_NAMES
from fsfm_mm.registry import FACE_PARSERS

COUNTS = {'lapa/448': 11, 'celebm/448': 19}
#: Number of LaPa's labels among the classes of facer's celebm model.
CELEBM = [
    pretrain_settings['celebm/448']['label_names'].index(name)
    for name in 'background face rb lb re le nose ulip imouth llip hair'.split()  # noqa: SIM905
]


def save_rule(path, count):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch.jit is deprecated
        torch.jit.script(ColourRule(count)).save(str(path))
    return path


@pytest.fixture(scope='session')
def networks(tmp_path_factory):
    """TorchScript files that stand for the two models' weights."""
    folder = tmp_path_factory.mktemp('farl')
    return {model: save_rule(folder / f'{count}.pt', count) for model, count in COUNTS.items()}


def painted_face(model, index, size=224):
    """A crop that shows a drawn face's classes, its LaPa labels and landmarks."""
    _, labels, points = drawn_crop(index, size)
    classes = labels if model == 'lapa/448' else np.array(CELEBM)[labels]
    return painted(classes, COUNTS[model]), labels, points


@pytest.mark.parametrize('model', COUNTS)
def test_the_map_is_in_the_crops_pixels(model, networks):
    parser = FACE_PARSERS.build(dict(type='FaRLParser', model=model, weights=networks[model], device='cpu'))
    crops, expected, points = zip(*(painted_face(model, index) for index in (0, 3, 5)), strict=True)
    maps = parser.parse(crops, points)
    for labels, truth in zip(maps, expected, strict=True):
        assert labels.shape == (224, 224) and labels.dtype == np.uint8
        # celebm's window is smaller than the crop: what lies beyond is background
        inside = labels > 0 if model == 'celebm/448' else np.ones(labels.shape, bool)
        for label in range(1, 11):
            overlap = iou(labels[inside], truth[inside], label)
            assert overlap is None or overlap > 0.96, LABEL_NAMES[label]
        assert (labels == truth).mean() > 0.97
        assert np.nonzero(labels == 5)[1].mean() > np.nonzero(labels == 4)[1].mean()


def test_beyond_the_aligned_window_is_background(networks):
    crop = np.zeros((200, 200, 3), np.uint8)
    crop[:] = painted(np.array([[CELEBM[1]]]), 19)[0, 0]
    points = np.array([[90.0, 90], [110, 90], [100, 100], [92, 112], [108, 112]])
    (labels,) = FaRLParser('celebm/448', networks['celebm/448'], device='cpu').parse([crop], [points])
    assert labels[100, 100] == 1
    assert labels[0, 0] == labels[-1, -1] == 0


def test_landmarks_are_aligned_in_facers_pixels(networks):
    """Facer counts from a pixel's edge, the toolkit from its centre."""
    parser = FaRLParser(weights=networks['lapa/448'], device='cpu')
    parser.prepare()
    seen = []

    def record(points):
        seen.append(points)
        return pretrain_settings['lapa/448']['get_matrix_fn'](points)

    parser._parser.setting = {**parser._parser.setting, 'get_matrix_fn': record}
    crop, _, points = painted_face('lapa/448', 0)
    parser.parse([crop], [points])
    np.testing.assert_allclose(seen[0][0].numpy(), points + 0.5, atol=1e-4)


@pytest.mark.parametrize('value', [0, 1, 255])
def test_crops_of_one_value_are_not_refused(value, networks):
    # at this size facer's interpolation rounds white up beyond 1
    crop = np.full((317, 317, 3), value, np.uint8)
    _, _, points = drawn_crop(0, 317)
    (labels,) = FaRLParser(weights=networks['lapa/448'], device='cpu').parse([crop], [points])
    assert labels.shape == (317, 317)


def test_crops_without_usable_landmarks_get_none_and_disturb_nobody(networks):
    parser = FaRLParser(weights=networks['lapa/448'], device='cpu', batch_size=2)
    crops, expected, points = zip(*(painted_face('lapa/448', index, 128) for index in range(4)), strict=True)
    upside = points[1][[1, 0, 2, 4, 3]]
    given = [
        points[0],
        None,
        points[1],
        np.zeros((5, 2)),
        upside,
        points[2],
        np.full((5, 2), np.nan),
        points[3],
    ]
    maps = parser.parse([crops[i] for i in (0, 0, 1, 1, 1, 2, 2, 3)], given)
    assert [labels is None for labels in maps] == [False, True, False, True, True, False, True, False]
    for number, (labels, crop) in enumerate(zip((maps[0], maps[2], maps[5], maps[7]), crops, strict=True)):
        (alone,) = parser.parse([crop], [points[number]])
        np.testing.assert_array_equal(labels, alone)
        assert (labels == expected[number]).mean() > 0.97


def test_nothing_to_parse(networks):
    parser = FaRLParser(weights=networks['lapa/448'], device='cpu')
    assert parser.parse([], []) == []
    assert parser.parse([np.zeros((8, 8, 3), np.uint8)], [None]) == [None]


def test_loading_and_parsing_are_silent(networks, capfd):
    crop, _, points = painted_face('lapa/448', 0, 64)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        FaRLParser(weights=networks['lapa/448'], device='cpu').parse([crop], [points])
    assert capfd.readouterr().err == ''


def test_weights_of_the_other_model_are_noticed(networks):
    crop, _, points = painted_face('lapa/448', 0, 64)
    with pytest.raises(ValueError, match='expected a network with 11 classes, found 19'):
        FaRLParser('lapa/448', networks['celebm/448'], device='cpu').parse([crop], [points])


@pytest.mark.parametrize('kind', ['text', 'state dict', 'cut'])
def test_files_that_are_no_torchscript(kind, networks, tmp_path, capfd):
    path = tmp_path / 'weights.pt'
    if kind == 'text':
        path.write_text('<html>not found</html>')
    elif kind == 'state dict':
        torch.save({'a': torch.zeros(3)}, path)
    else:
        path.write_bytes(networks['lapa/448'].read_bytes()[:-200])
    with pytest.raises(ValueError, match=r'weights\.pt: expected a TorchScript file') as error:
        FaRLParser(weights=path, device='cpu').prepare()
    assert '\n' not in str(error.value)
    assert capfd.readouterr().err == ''


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r'model must be one of lapa/448, celebm/448, but is .lapa.'):
        FaRLParser('lapa')
    with pytest.raises(ValueError, match='batch_size must be 1 or more'):
        FaRLParser(batch_size=0)


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file with ranges; the first answers are cut as ``cuts`` says."""

    content = b''
    cuts: list = []
    starts: list = []

    def do_GET(self):
        asked = self.headers.get('Range')
        start = int(asked.removeprefix('bytes=').rstrip('-')) if asked else 0
        self.starts.append(start)
        self.send_response(206 if start else 200)
        self.send_header('ETag', '"v1"')
        self.send_header('Content-Length', str(len(self.content) - start))
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(self.content) - 1}/{len(self.content)}')
        self.end_headers()
        amount = self.cuts.pop(0) if self.cuts else len(self.content)
        self.wfile.write(self.content[start : start + amount])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(networks, tmp_path, monkeypatch):
    """The handler's class and the address of weights at 127.0.0.1; the cache is empty."""
    monkeypatch.setenv('FSFM_MM_CACHE', str(tmp_path / 'cache'))
    handler = type(
        'Handler', (Server,), {'content': networks['lapa/448'].read_bytes(), 'cuts': [], 'starts': []}
    )
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield handler, f'http://127.0.0.1:{httpd.server_address[1]}/releases/weights_jit.pt'
        httpd.shutdown()


def cached(tmp_path):
    return sorted(path.name for path in tmp_path.rglob('*.pt'))


def test_weights_are_fetched_once_and_parse(server, networks, tmp_path):
    handler, url = server
    crop, expected, points = painted_face('lapa/448', 0, 128)
    checksum = sha256_of(networks['lapa/448'])
    for _ in range(2):
        (labels,) = FaRLParser(url=url, sha256=checksum, device='cpu').parse([crop], [points])
        assert (labels == expected).mean() > 0.97
    assert handler.starts == [0]
    assert cached(tmp_path) == ['weights_jit.pt']


def test_a_download_that_is_cut_goes_on(server, networks, tmp_path):
    handler, url = server
    handler.cuts += [1000]
    FaRLParser(url=url, device='cpu').prepare()
    assert handler.starts == [0, 1000]
    (path,) = tmp_path.rglob('weights_jit.pt')
    assert path.read_bytes() == networks['lapa/448'].read_bytes()


def test_other_weights_than_the_checksum_says_are_refused_and_not_kept(server, tmp_path):
    _, url = server
    with pytest.raises((ValueError, ConnectionError), match='SHA-256'):
        FaRLParser(url=url, sha256='0' * 64, device='cpu').prepare()
    assert cached(tmp_path) == []
    with pytest.raises(ValueError, match='SHA-256'):
        FaRLParser(weights=__file__, sha256='0' * 64, device='cpu').prepare()


def test_nothing_is_fetched_before_it_is_needed(server):
    handler, url = server
    FaRLParser(url=url, device='cpu')
    assert handler.starts == []


def test_a_page_instead_of_weights(server):
    handler, url = server
    handler.content = b'<html>moved</html>'
    with pytest.raises(ValueError, match=r'weights_jit\.pt: expected a TorchScript file .* must be deleted'):
        FaRLParser(url=url, device='cpu').prepare()


def test_an_address_where_nobody_answers(server, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    with pytest.raises(ConnectionError, match=r'http://127\.0\.0\.1:9/weights_jit\.pt by other means'):
        FaRLParser(url='http://127.0.0.1:9/weights_jit.pt', device='cpu').prepare()


def test_facers_own_address_by_default(monkeypatch):
    asked = []

    def fake(name, path, url, sha256, option, instead):
        asked.append((name, path, url, sha256))
        raise ConnectionError

    monkeypatch.setattr('fsfm_mm.preparation.parsers.farl.weights_file', fake)
    for model in COUNTS:
        with pytest.raises(ConnectionError):
            FaRLParser(model).prepare()
    releases = 'https://github.com/FacePerceiver/facer/releases/download/models-v1/'
    files = [
        'face_parsing.farl.lapa.main_ema_136500_jit191.pt',
        'face_parsing.farl.celebm.main_ema_181500_jit.pt',
    ]
    assert asked == [(file, None, releases + file, None) for file in files]
