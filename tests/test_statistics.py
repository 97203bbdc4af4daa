import json

import pytest

from fsfm_mm.statistics import PUBLISHED, load_mean_std, resolve_stats

MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.15]


def test_published_values_by_name():
    mean, std = resolve_stats('vggface2')
    assert mean == [0.5482207536697388, 0.42340534925460815, 0.3654651641845703]
    assert std == [0.2789176106452942, 0.2438540756702423, 0.23493893444538116]
    mean, std = resolve_stats('FFPP_o')
    assert mean == [0.532625138759613, 0.4048449993133545, 0.3708747327327728]
    assert std == [0.25850796699523926, 0.21054500341415405, 0.20785294473171234]
    assert resolve_stats('imagenet') == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_results_can_be_changed_without_harm():
    resolve_stats('imagenet')[0][0] = 7
    assert PUBLISHED['imagenet'][0][0] == 0.485


@pytest.mark.parametrize('indent', [None, 2])
def test_file_of_the_tool(tmp_path, indent):
    path = tmp_path / 'Mittel und Streuung ü.json'
    path.write_text(json.dumps({'mean': MEAN, 'std': STD, 'num_images': 3}, indent=indent))
    assert load_mean_std(path) == {'mean': MEAN, 'std': STD}
    assert resolve_stats(str(path)) == resolve_stats(path) == (MEAN, STD)


def test_text_file_beside_published_weights(tmp_path):
    path = tmp_path / 'pretrain_ds_mean_std.txt'
    path.write_text(json.dumps({'mean': MEAN, 'std': STD}) + '\nsome other line {\n')
    assert resolve_stats(str(path)) == (MEAN, STD)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'expected a JSON object'),
        ('mean 0.5', 'expected a JSON object'),
        ('[1, 2]', r'expected a JSON object .*found \[1, 2\]'),
        (json.dumps({'mean': MEAN}), '"std" must be three numbers in 0..1 .* but is None'),
        (json.dumps({'mean': MEAN[:2], 'std': STD}), '"mean" must be three numbers'),
        (json.dumps({'mean': [123.7, 116.3, 103.5], 'std': STD}), r'"mean" must be three numbers in 0\.\.1'),
        (json.dumps({'mean': ['0.5'] * 3, 'std': STD}), '"mean" must be three numbers'),
        (json.dumps({'mean': MEAN, 'std': [0.2, 0.0, 0.2]}), '"std" must be positive'),
    ],
)
def test_wrong_files_are_named(tmp_path, text, message):
    path = tmp_path / 'stats.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'stats\.json: ' + message):
        load_mean_std(path)


def test_unknown_name_and_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"'vggface' is neither .*\(vggface2, ffpp_o, imagenet\) nor"):
        resolve_stats('vggface')
    with pytest.raises(ValueError, match=r'gone\.json: the pixel statistics cannot be read'):
        load_mean_std(tmp_path / 'gone.json')
