"""Pictures and videos of phones and cameras: every format, and both readers of videos alike."""

import json
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from picture_files import (
    UPRIGHT,
    damage_second_half,
    exif_with,
    number_of,
    save,
    smooth_picture,
    turn_video,
    write_video,
)
from PIL import Image, features

from fsfm_mm.commands.prepare import main
from fsfm_mm.files.pictures import BrokenSampleError, read_image
from fsfm_mm.preparation.cutting import reading, videos
from fsfm_mm.preparation.cutting.reading import frame_rate, read_frames, read_picture, stated_frames
from fsfm_mm.preparation.cutting.videos import opened
from fsfm_mm.preparation.settings import Settings, versions
from fsfm_mm.preparation.sources.finding import PICTURE_EXTENSIONS, find_items
from fsfm_mm.preparation.sources.forgeries import folder_listing
from fsfm_mm.preparation.sources.items import FrameChoice

RGB = smooth_picture()
#: Ending -> codec and pixel format; all but the last are read by OpenCV, too.
VIDEOS = {
    'mpeg4.mp4': ('mpeg4', 'yuv420p'),
    'h264.mp4': ('libx264', 'yuv420p'),
    'ten_bits.mp4': ('libx265', 'yuv420p10le'),
    'h264.mov': ('libx264', 'yuv444p'),
    'prores.mov': ('prores_ks', 'yuv422p10le'),
    'ten_bits.mkv': ('libx264', 'yuv420p10le'),
    'vp9.webm': ('libvpx-vp9', 'yuv420p'),
    'mjpeg.avi': ('mjpeg', 'yuvj420p'),
    'mpeg2.mpg': ('mpeg2video', 'yuv420p'),
    'h263.3gp': ('h263', 'yuv420p'),
    'mpeg4.m4v': ('mpeg4', 'yuv420p'),
    'wmv2.wmv': ('wmv2', 'yuv420p'),
    'wmv1.asf': ('wmv1', 'yuv420p'),
    'flv1.flv': ('flv', 'yuv420p'),
    'h264.ts': ('libx264', 'yuv420p'),
    'h264.mts': ('libx264', 'yuv420p'),
    'vp8.ogv': ('libvpx', 'yuv420p'),
    'av1.mp4': ('libsvtav1', 'yuv420p'),
}


@pytest.fixture
def av():
    return pytest.importorskip('av', reason='PyAV is not installed: pip install av')


def make(path, codec, pix_fmt, times=range(12), tagged=None):
    """A video of 176x144 whose frame i is grey of 10 * i, with colours at its left."""
    import av

    if codec not in av.codecs_available:
        pytest.skip(f'this build of PyAV writes no {codec}')
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), 'w') as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 176, 144, pix_fmt
        if codec == 'libx265':
            stream.codec_context.options = {'x265-params': 'log-level=none:pools=1'}
        if tagged:
            stream.codec_context.colorspace = tagged
        for i, time in enumerate(times):
            pixels = np.full((144, 176, 3), 10 * i, np.uint8)
            pixels[:48, :64] = RGB
            frame = av.VideoFrame.from_ndarray(pixels, format='rgb24').reformat(format=pix_fmt)
            frame.pts, frame.time_base = time, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def both(path, choice):
    one, two = (list(read_frames(path, choice, reader=reader)) for reader in ('opencv', 'pyav'))
    assert [index for index, _ in one] == [index for index, _ in two]
    for (_, by_opencv), (_, by_pyav) in zip(one, two):
        assert by_pyav.dtype == np.uint8 and by_pyav.flags['C_CONTIGUOUS']
        np.testing.assert_array_equal(by_opencv, by_pyav)
    return one


@pytest.mark.parametrize('name', VIDEOS)
def test_both_readers_give_the_same_frames(av, tmp_path, name):
    path = make(tmp_path / name, *VIDEOS[name])
    (item,) = find_items([path], FrameChoice())
    assert item.frames is not None
    if name == 'av1.mp4' and not opens(path):  # OpenCV's builds lack a decoder
        with pytest.raises(BrokenSampleError, match=r'av1.mp4: holds no frame that can be decoded'):
            list(read_frames(path, FrameChoice('all'), reader='opencv'))
        every = list(read_frames(path, FrameChoice('all')))
    else:
        every = both(path, FrameChoice('all'))
        both(path, FrameChoice('count', 3))
        both(path, FrameChoice('stride', 5))
        assert stated_frames(path, 'pyav') in (12, stated_frames(path, 'opencv'))
    assert [index for index, _ in every] == list(range(12))
    assert [number_of(frame) for _, frame in every] == list(range(12))
    assert frame_rate(path) == pytest.approx(25, abs=0.1)
    chosen = list(read_frames(path, FrameChoice('count', 3)))
    assert [index for index, _ in chosen] == [0, 5, 11]


def opens(path):
    with opened(path, 'opencv') as video:
        return video.grab()


@pytest.mark.parametrize('colorspace', [1, 5, 9])
def test_colours_are_converted_alike(av, tmp_path, colorspace):
    """Of BT.709, BT.601 and BT.2020, as the file says."""
    both(make(tmp_path / 'v.mp4', 'libx264', 'yuv420p', tagged=colorspace), FrameChoice('all'))


def test_frames_at_uneven_times(av, tmp_path):
    times = [0, 1, 2, 7, 8, 20, 21, 22, 40, 41, 42, 60]
    path = make(tmp_path / 'v.mp4', 'libx264', 'yuv420p', times)
    assert len(both(path, FrameChoice('all'))) == 12
    for reader in ('opencv', 'pyav'):
        with opened(path, reader) as video:
            seen = [video.seconds for _ in iter(video.grab, False)]
        assert seen == pytest.approx([time / 25 for time in times])


@pytest.mark.parametrize('matrix', [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_turned_videos(av, tmp_path, matrix):
    whole = write_video(tmp_path / 'v.mp4')
    turned = both(turn_video(whole, tmp_path / 'turned.mp4', matrix), FrameChoice('count', 2))
    upright = both(whole, FrameChoice('count', 2))
    quarters = {(0, 1, -1, 0): -1, (-1, 0, 0, -1): 2, (0, -1, 1, 0): 1}[matrix]
    np.testing.assert_array_equal(turned[1][1], np.rot90(upright[1][1], quarters))


def test_broken_videos_by_pyav(av, tmp_path, monkeypatch):
    whole = write_video(tmp_path / 'v.mp4', 24)
    told = []
    damaged = damage_second_half(whole, tmp_path / 'd.mp4')
    for reader in ('opencv', 'pyav'):
        with pytest.raises(
            BrokenSampleError, match=r'd.mp4: breaks off after frame \d+, 24 frames'
        ) as caught:
            list(read_frames(damaged, FrameChoice('count', 4), reader=reader))
        told.append(str(caught.value))
    assert told[0] == told[1]
    content = whole.read_bytes()
    for bad in (b'', b'not a video' * 90, content[:40], content[: len(content) // 2]):
        (tmp_path / 'b.mp4').write_bytes(bad)
        with pytest.raises(
            BrokenSampleError, match=rf'b.mp4: cannot be opened as a video \({len(bad)} bytes'
        ):
            list(read_frames(tmp_path / 'b.mp4', FrameChoice(), reader='pyav'))
    os.mkfifo(tmp_path / 'p.mp4')
    with pytest.raises(BrokenSampleError, match=r'p.mp4: is not a file'):
        list(read_frames(tmp_path / 'p.mp4', FrameChoice(), reader='pyav'))
    bad = os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9 a:b_%03d.mp4')
    os.rename(whole, bad)
    assert len(list(read_frames(bad, FrameChoice('count', 2), reader='pyav'))) == 2
    monkeypatch.setenv('FSFM_MM_MAX_PIXELS', str(64 * 48 - 1))
    for reader in videos.VIDEO_READERS:
        with pytest.raises(BrokenSampleError, match='has 64x48 pixels, more than the 3071 allowed'):
            list(read_frames(bad, FrameChoice(), reader=reader))


def test_scripts_and_playlists_lead_nowhere(av, tmp_path):
    """FFmpeg would read other files, or addresses, that a file with the name of a video names."""
    write_video(tmp_path / 'other.mp4')
    make(tmp_path / 'other.ts', 'mpeg2video', 'yuv420p')
    address, head = f'file://{tmp_path}/other.ts', '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n'
    texts = {
        'concat.mp4': 'ffconcat version 1.0\nfile other.mp4\n',
        'list.mp4': f'{head}other.ts\n#EXT-X-ENDLIST\n',
        'list.m3u8': f'{head}{address}\n#EXT-X-ENDLIST\n',
        'far.m3u8': f'{head}http://127.0.0.1:9/other.ts\n#EXT-X-ENDLIST\n',
        'stream.mp4': 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n'
        'm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        for reader in videos.VIDEO_READERS:
            with pytest.raises(BrokenSampleError, match=f'{name}: cannot be opened as a video'):
                list(read_frames(tmp_path / name, FrameChoice(), reader=reader))
    assert videos._OPTIONS not in os.environ


def test_what_the_user_tells_opencv_stays(tmp_path, monkeypatch):
    monkeypatch.setenv(videos._OPTIONS, 'threads;1')
    assert len(list(read_frames(write_video(tmp_path / 'v.mp4'), FrameChoice('all')))) == 20
    assert os.environ[videos._OPTIONS] == 'threads;1'


def test_no_lines_of_others_on_the_terminal(av, tmp_path):
    files = [write_video(tmp_path / 'v.mp4', 24)]
    files += [damage_second_half(files[0], tmp_path / 'd.mp4'), tmp_path / 'b.mp4', tmp_path / 'c.mp4']
    Image.new('1', (12000, 9000)).save(tmp_path / 'p.tif', compression='group4')
    files.append(tmp_path / 'p.tif')
    files[2].write_bytes(b'not a video' * 90)
    files[3].write_bytes(files[0].read_bytes()[:500])
    if 'libsvtav1' in av.codecs_available:
        files.append(make(tmp_path / 'a.mp4', *VIDEOS['av1.mp4']))
    program = """
import sys
from fsfm_mm.preparation.cutting.reading import read_frames, read_picture
from fsfm_mm.preparation.sources.items import FrameChoice
for path in sys.argv[1:]:
    for reader in ('auto', 'opencv', 'pyav'):
        try:
            read_picture(path) if path.endswith('tif') else list(read_frames(path, FrameChoice(), reader=reader))
        except ValueError as error:
            assert path in str(error)
"""
    done = subprocess.run(
        [sys.executable, '-c', program, *map(str, files)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ('', '')


def test_without_pyav(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, 'has_pyav', lambda: False)
    (tmp_path / 'v.mp4').write_bytes(b'not a video' * 90)
    with pytest.raises(
        BrokenSampleError, match=r'v.mp4: cannot be opened .*more are read after `pip install av`'
    ):
        list(read_frames(tmp_path / 'v.mp4', FrameChoice()))
    with pytest.raises(ValueError, match='pyav needs PyAV, which is not installed: `pip install av`'):
        Settings(dict(type='NoDetector'), None, video_reader='pyav')
    with pytest.raises(ValueError, match="must be one of auto, opencv, pyav, found 'vlc'"):
        Settings(dict(type='NoDetector'), None, video_reader='vlc')


def test_the_version_is_recorded(av):
    assert versions()['av'] == av.__version__


def has(kind):
    if kind == 'HEIF':
        pytest.importorskip('pillow_heif', reason='pillow-heif is not installed')
        reading.can_read(kind)
    elif not features.check('avif'):
        pytest.skip('this build of pillow has no AVIF')


#: Ending -> options of PIL, and how far pixels may be off.
PICTURES = {
    'jpg': (dict(quality=95), 12),
    'jpeg': (dict(quality=95, progressive=True), 12),
    'jfif': (dict(quality=95, subsampling=0), 12),
    'png': ({}, 0),
    'webp': (dict(lossless=True), 0),
    'bmp': ({}, 0),
    'tif': (dict(compression='tiff_lzw'), 0),
    'tiff': (dict(compression='tiff_adobe_deflate'), 0),
    'gif': ({}, 40),
    'heic': (dict(quality=-1, chroma=444), 2),
    'heif': (dict(quality=95), 12),
    'avif': (dict(quality=95), 12),
}


@pytest.mark.parametrize('ending', PICTURES)
def test_every_format_of_pictures(tmp_path, monkeypatch, ending):
    options, tolerance = PICTURES[ending]
    kind = {'heic': 'HEIF', 'heif': 'HEIF', 'avif': 'AVIF'}.get(ending)
    if kind:
        has(kind)
    path = save(tmp_path / f'p.{ending}', RGB, **options)
    (item,) = find_items([path], FrameChoice())
    assert item.frames is None and f'.{ending}' in PICTURE_EXTENSIONS
    found = read_picture(path)
    assert found.dtype == np.uint8 and found.flags['C_CONTIGUOUS']
    assert np.abs(found.astype(int) - RGB[:, :, ::-1]).max() <= tolerance
    if kind or ending.startswith('tif'):
        with pytest.raises(BrokenSampleError, match=f'p.{ending}: cannot be decoded as an image'):
            read_image(str(path))
    else:
        np.testing.assert_array_equal(read_image(str(path)), found)
    monkeypatch.setenv('FSFM_MM_MAX_PIXELS', '3071')
    with pytest.raises(
        BrokenSampleError, match=rf'p.{ending}: .*has 64x48 pixels, more than the 3071 allowed'
    ):
        read_picture(path)


@pytest.mark.parametrize('ending, kind', [('heic', 'HEIF'), ('avif', 'AVIF')])
@pytest.mark.parametrize('orientation', UPRIGHT)
def test_phones_held_otherwise(tmp_path, ending, kind, orientation):
    """PIL writes the turn into the file's own header, or into EXIF alone; what has both is not turned twice."""
    has(kind)
    exif = exif_with(orientation)
    for block in (exif, exif.tobytes()):
        path = save(tmp_path / f'p.{ending}', RGB, exif=block, **PICTURES[ending][0])
        found, expected = read_picture(path), UPRIGHT[orientation](RGB[:, :, ::-1])
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() <= 12


@pytest.mark.parametrize('ending, kind', [('heic', 'HEIF'), ('avif', 'AVIF')])
def test_cut_and_lying_pictures(tmp_path, ending, kind):
    has(kind)
    whole = save(tmp_path / f'p.{ending}', RGB).read_bytes()
    damaged = [whole[:length] for length in range(12, len(whole), max(len(whole) // 30, 1))]
    if kind == 'HEIF':  # an AVIF is resized to what it says
        size = b'ispe\0\0\0\0' + (64).to_bytes(4, 'big')
        damaged.append(whole.replace(size, size[:-1] + b'\x08'))
    for content in damaged:
        (tmp_path / f'q.{ending}').write_bytes(content)
        with pytest.raises(BrokenSampleError, match=f'q.{ending}: '):
            read_picture(tmp_path / f'q.{ending}')


@pytest.mark.parametrize(
    'ending, told', [('heic', 'HEIF.*install pillow-heif'), ('avif', 'AVIF.*install --upgrade pillow')]
)
def test_what_to_install(tmp_path, monkeypatch, ending, told):
    brand = {'heic': b'heic', 'avif': b'avif'}[ending]
    (tmp_path / f'p.{ending}').write_bytes(
        b'\0\0\0\x1cftyp' + brand + bytes(4) + b'mif1' + brand + b'miaf' + bytes(99)
    )
    monkeypatch.setattr(reading, 'can_read', lambda kind: False)
    with pytest.raises(BrokenSampleError, match=f'p.{ending}: is a picture in {told}`'):
        read_picture(tmp_path / f'p.{ending}')


def test_the_command_records_who_read(av, tmp_path, capsys):
    """A video that OpenCV does not decode becomes crops; another reader is another run."""
    make(tmp_path / 'in/a.mp4', *VIDEOS['av1.mp4'])
    out, rest = (
        str(tmp_path / 'out'),
        ['--detector', 'none', '--parser', 'none', '--frames', '3', '--workers', '0', '--size', '32'],
    )
    assert main([str(tmp_path / 'in'), out, *rest]) == 0
    kept = json.loads((tmp_path / 'out/prepare.json').read_text())
    assert kept['video_reader'] == 'auto' and kept['versions']['av'] == av.__version__
    assert len(list((tmp_path / 'out/images').iterdir())) == 3
    assert main([str(tmp_path / 'in'), out, *rest, '--video-reader', 'opencv']) == 1
    assert 'was begun with video_reader "auto", not "opencv"' in capsys.readouterr().err
    del kept['video_reader']  # a result from before the option
    (tmp_path / 'out/prepare.json').write_text(json.dumps(kept))
    assert main([str(tmp_path / 'in'), out, *rest]) == 0
    assert 'is complete already' in capsys.readouterr().out


def test_own_classes_list_what_is_read(tmp_path):
    for name in ('real/a.HEIC', 'real/b.wmv', 'fake/c.avif', 'fake/d.3gp', 'fake/e.tiff'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listing = folder_listing(str(tmp_path), (), FrameChoice(), None)
    assert {item.source: item.frames is not None for item in listing.items} == {
        'real/a.HEIC': False,
        'real/b.wmv': True,
        'fake/c.avif': False,
        'fake/d.3gp': True,
        'fake/e.tiff': False,
    }
