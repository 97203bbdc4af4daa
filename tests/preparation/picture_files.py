"""Pictures and videos of every kind that a photo folder holds, and broken ones."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

#: EXIF orientation -> what turns the stored pixels upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def smooth_picture(height=48, width=64):
    """uint8 RGB with all of 0..255 and no edges, so that JPEG keeps it."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 255 // (height + width - 2)]
    return np.stack(channels, 2).astype(np.uint8)


def save(path, pixels, **options):
    """Write an array with PIL; the format is the extension's."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def exif_with(orientation):
    """An EXIF block with an orientation."""
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def png(header, rows):
    """A PNG of any bit depth: bytes of each row, without filters."""

    def chunk(kind, content):
        return (
            struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))
        )

    body = zlib.compress(b''.join(b'\0' + row for row in rows))
    start = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', *header))
    return start + chunk(b'IDAT', body) + chunk(b'IEND', b'')


def png16(pixels):
    """A PNG with 16 bits a channel from uint16 (H, W) or (H, W, 3)."""
    height, width = pixels.shape[:2]
    header = (width, height, 16, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    return png(header, [row.astype('>u2').tobytes() for row in pixels])


def write_video(path, num_frames=20, codec='mp4v', size=(64, 48), first=0):
    """A video whose frame i is grey of the value 10 * (first + i), on the left half 5 darker."""
    width, height = size
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 25.0, size)
    assert video.isOpened()
    for i in range(num_frames):
        frame = np.full((height, width, 3), 10 * (first + i), np.uint8)
        frame[:, : width // 2] = np.maximum(frame[:, : width // 2], 5) - 5
        video.write(frame)
    video.release()
    return path


def number_of(frame):
    """The number of a frame of :func:`write_video`, from its pixels."""
    # codecs shift grey by a constant of up to 4
    return round((float(frame[:, frame.shape[1] * 3 // 4 :].mean()) + 1) / 10)


def turn_video(path, target, turn=(0, 1, -1, 0)):
    """A copy of an mp4 that says "show me turned": by 90 degrees clockwise, or as the matrix says."""
    content = bytearray(Path(path).read_bytes())
    start = content.index(b'tkhd') + 44
    a, b, c, d = (value << 16 for value in turn)
    matrix = (a, b, 0, c, d, 0, 0, 0, 0x40000000)
    content[start : start + 36] = b''.join(struct.pack('>i', value) for value in matrix)
    Path(target).write_bytes(content)
    return target


def damage_second_half(path, target):
    """A copy of an mp4 whose pictures are noise from the middle on; the index is whole."""
    content = bytearray(Path(path).read_bytes())
    begin, end = content.index(b'mdat') + 4, content.index(b'moov') - 4
    middle = (begin + end) // 2
    content[middle:end] = b'\x5a' * (end - middle)
    Path(target).write_bytes(content)
    return target
