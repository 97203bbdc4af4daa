"""Any TorchScript or ONNX network as a parser."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from drawn_crops import ColourRule, colours_of, drawn_crop, painted

from fsfm_mm.preparation.parsers.segmenter import IMAGENET_MEAN, IMAGENET_STD, SegmenterParser
from fsfm_mm.regions import CELEBAMASK_NAMES
from fsfm_mm.registry import FACE_PARSERS

PLAIN = dict(mean=(0, 0, 0), std=(1, 1, 1), input_size=96, device='cpu')


class Rule(torch.nn.Module):
    """Knows :class:`ColourRule`'s colours; gives its answer in one of many forms."""

    def __init__(self, form: str, count: int = 11):
        super().__init__()
        self.rule, self.form = ColourRule(count), form

    def forward(self, images):
        logits = self.rule(images)[0]
        if self.form == 'small':
            return F.avg_pool2d(logits, 2)
        if self.form == 'classes':
            return logits.argmax(1)
        if self.form == 'one plane':
            return logits.argmax(1, keepdim=True).float()
        if self.form == 'flat':
            return logits.flatten(1)
        return logits


class Several(torch.nn.Module):
    """Gives a tuple or a dict of which the second is the map."""

    def __init__(self, named: bool):
        super().__init__()
        self.rule, self.named = ColourRule(11), named

    def forward(self, images):
        logits = self.rule(images)[0]
        return {'aux': images, 'seg': logits} if self.named else (images, logits)


def save(network, path, example=None):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch.jit is deprecated
        example = torch.rand(2, 3, 96, 96) if example is None else example
        torch.jit.trace(network, example, strict=False).save(str(path))
    return path


@pytest.fixture
def face():
    """A crop that shows the labels of a drawn face, and these."""
    _, labels, _ = drawn_crop(5, 96)
    return painted(labels, 11), labels


@pytest.mark.parametrize('form', ['logits', 'classes', 'one plane'])
def test_exact_at_the_networks_own_size(form, face, tmp_path):
    crop, expected = face
    parser = FACE_PARSERS.build(
        dict(type='SegmenterParser', weights=save(Rule(form), tmp_path / 'net.pt'), label_map='lapa', **PLAIN)
    )
    maps = parser.parse([crop] * 3, [None] * 3)
    for labels in maps:
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, expected)


def test_small_logits_are_interpolated_before_the_choice(face, tmp_path):
    crop, expected = face
    path = save(Rule('small'), tmp_path / 'net.pt')
    (labels,) = SegmenterParser(path, 'lapa', **PLAIN).parse([crop], [None])
    planes = torch.from_numpy(crop[:, :, ::-1].copy()).permute(2, 0, 1)[None] / 255
    small = Rule('small')(planes)
    oracle = F.interpolate(small, size=(96, 96), mode='bilinear', align_corners=False).argmax(1)[0]
    np.testing.assert_array_equal(labels, oracle.numpy())
    assert (labels == expected).mean() > 0.9
    nearest = F.interpolate(small, size=(96, 96), mode='nearest').argmax(1)[0].numpy()
    assert (labels != nearest).any()


def test_a_crop_of_another_size_than_the_network(tmp_path):
    _, expected, _ = drawn_crop(5, 224)
    for form in ('logits', 'classes'):
        parser = SegmenterParser(save(Rule(form), tmp_path / f'{form}.pt'), 'lapa', **PLAIN)
        (labels,) = parser.parse([painted(expected, 11)], [None])
        assert labels.shape == (224, 224)
        assert (labels == expected).mean() > 0.9


def test_numbers_of_classes_are_never_mixed(tmp_path):
    given = np.array([[0, 10, 0], [10, 2, 5], [4, 0, 10]])

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer('classes', torch.from_numpy(given))

        def forward(self, images):
            return self.classes.expand(len(images), 3, 3)

    parser = SegmenterParser(save(Fixed(), tmp_path / 'net.pt'), 'lapa', **PLAIN)
    maps = parser.parse([np.zeros((12, 12, 3), np.uint8)] * 2, [None] * 2)
    np.testing.assert_array_equal(maps, [np.kron(given, np.ones((4, 4), int))] * 2)


def test_colour_order_and_normalisation(face, tmp_path):
    crop, expected = face

    class Expects(torch.nn.Module):
        """Undoes a normalisation of BGR planes before it looks."""

        def __init__(self):
            super().__init__()
            self.rule = ColourRule(11)
            self.register_buffer('mean', torch.tensor(IMAGENET_MEAN)[:, None, None])
            self.register_buffer('std', torch.tensor(IMAGENET_STD)[:, None, None])

        def forward(self, images):
            return self.rule((images * self.std + self.mean).flip(1))[0]

    path = save(Expects(), tmp_path / 'net.pt')
    right = SegmenterParser(path, 'lapa', input_size=96, color='bgr', device='cpu')
    np.testing.assert_array_equal(right.parse([crop], [None])[0], expected)
    wrong = SegmenterParser(path, 'lapa', input_size=96, color='rgb', device='cpu')
    assert (wrong.parse([crop], [None])[0] != expected).mean() > 0.2


@pytest.mark.parametrize('named, output', [(False, 1), (True, 'seg'), (True, 1)])
def test_one_of_several_outputs(named, output, face, tmp_path):
    crop, expected = face
    path = save(Several(named), tmp_path / 'net.pt')
    parser = SegmenterParser(path, 'lapa', output=output, **PLAIN)
    np.testing.assert_array_equal(parser.parse([crop], [None])[0], expected)


@pytest.mark.parametrize(
    'named, output, names',
    [(False, 2, '0, 1'), (True, 'segm', 'aux, seg'), (False, -3, '0, 1'), (False, 'seg', '0, 1')],
)
def test_an_output_that_is_not_there(named, output, names, face, tmp_path):
    parser = SegmenterParser(save(Several(named), tmp_path / 'net.pt'), 'lapa', output=output, **PLAIN)
    with pytest.raises(ValueError, match=f'no output {output!r}; there are {names}'):
        parser.parse([face[0]], [None])


def test_classes_of_celebamask(face, tmp_path):
    _, expected = face
    celeb = [0, 1, 7, 6, 5, 4, 2, 11, 10, 12, 13]  # LaPa's labels among CelebAMask-HQ's 19
    crop = painted(np.array(celeb)[expected], 19)
    path = save(Rule('logits', 19), tmp_path / 'net.pt')
    for label_map, names in (('celebamask', None), ('celebamask', list(CELEBAMASK_NAMES))):
        parser = SegmenterParser(path, label_map, names, batch_size=1, **PLAIN)
        np.testing.assert_array_equal(parser.parse([crop] * 2, [None] * 2)[1], expected)


def test_a_label_map_that_does_not_fit_the_network(face, tmp_path):
    parser = SegmenterParser(save(Rule('logits'), tmp_path / 'net.pt'), 'celebamask', **PLAIN)
    with pytest.raises(ValueError, match='names 19 classes, but the network gives 11'):
        parser.parse([face[0]], [None])
    parser = SegmenterParser(
        save(Rule('classes'), tmp_path / 'net.pt'), {0: 'background', 1: 'skin'}, **PLAIN
    )
    with pytest.raises(ValueError, match='names 2 classes'):
        parser.parse([face[0]], [None])


def test_an_output_that_is_no_map(face, tmp_path):
    parser = SegmenterParser(save(Rule('flat'), tmp_path / 'net.pt'), 'lapa', **PLAIN)
    with pytest.raises(ValueError, match=r'found the shape \(1, 101376\)'):
        parser.parse([face[0]], [None])


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(weights='net.bin'), "format must be 'torchscript' or 'onnx'"),
        (dict(format='keras'), "found 'keras'"),
        (dict(color='RGB'), "color='RGB'"),
        (dict(input_size=0), 'input_size=0'),
        (dict(std=(1, 1, 0)), 'std above 0'),
        (dict(mean=(0.5,)), 'three values each'),
        (dict(label_map='celeb'), 'must be one of'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SegmenterParser(**{'weights': 'net.pt', 'label_map': 'lapa', **arguments})


@pytest.mark.parametrize(
    'name, content, message',
    [
        ('missing.pt', None, 'there is no file'),
        ('text.pt', b'hello', 'expected a TorchScript file'),
    ],
)
def test_files_that_are_no_network(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        SegmenterParser(tmp_path / name, 'lapa').prepare()


def test_onnx_without_onnxruntime_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'onnxruntime', None)
    (tmp_path / 'net.onnx').write_bytes(b'')
    with pytest.raises(ValueError, match='pip install onnxruntime'):
        SegmenterParser(tmp_path / 'net.onnx', 'lapa').prepare()


def test_a_damaged_onnx_file(tmp_path):
    pytest.importorskip('onnxruntime')
    (tmp_path / 'net.onnx').write_bytes(b'hello')
    with pytest.raises(ValueError, match=r'net\.onnx: onnxruntime cannot load') as error:
        SegmenterParser(tmp_path / 'net.onnx', 'lapa').prepare()
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('output', [0, 'logits'])
def test_onnx(output, face, tmp_path):
    pytest.importorskip('onnxruntime')
    onnx = pytest.importorskip('onnx')
    crop, expected = face
    # -|x - c|^2 without what is the same for every class: a convolution of 1x1
    colours = colours_of(11)
    weight, bias = 2 * colours[:, :, None, None].numpy(), -(colours**2).sum(1).numpy()
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node('Conv', ['image', 'weight', 'bias'], ['logits'])],
        'rule',
        [helper.make_tensor_value_info('image', onnx.TensorProto.FLOAT, ['n', 3, 96, 96])],
        [helper.make_tensor_value_info('logits', onnx.TensorProto.FLOAT, ['n', 11, 96, 96])],
        [onnx.numpy_helper.from_array(weight, 'weight'), onnx.numpy_helper.from_array(bias, 'bias')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=10)
    onnx.save(model, str(tmp_path / 'net.onnx'))
    parser = SegmenterParser(tmp_path / 'net.onnx', 'lapa', output=output, **PLAIN)
    for labels in parser.parse([crop] * 2, [None] * 2):
        np.testing.assert_array_equal(labels, expected)
