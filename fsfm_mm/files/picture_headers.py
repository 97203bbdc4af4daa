"""What the header of a picture says of its size: compressed, a thousand bytes may stand for gigabytes of pixels."""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Mapping

#: More pixels are refused before they are decoded; this variable of the environment sets another number. The default is
#: 8192x6144, the 50 megapixels of phones, for which no decoder needs a gigabyte.
MAX_PIXELS, VARIABLE = 8192 * 6144, 'FSFM_MM_MAX_PIXELS'
#: Bytes of a file for each of these pixels: four channels of 16 bits, or an array of 64-bit integers.
_BYTES = 8
#: Bytes that one byte of zlib's can stand for, and how many are unpacked in no time.
_MOST_PACKED, _QUICK = 1032, 1 << 30
#: Parts of a PNG that hold texts.
_TEXTS = (b'iCCP', b'tEXt', b'zTXt', b'iTXt')
#: A progressive JPEG has about ten.
_MOST_SCANS = 100
_PNG = b'\x89PNG\r\n\x1a\n'
#: Brands of ISO's container that stand for pictures in HEVC.
_HEIF = {b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'mif1', b'msf1'}
#: Markers of JPEG that begin a frame, and those that stand alone.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, *range(0xD0, 0xD9)}


@functools.cache
def _from_environment(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 40:
        raise ValueError(f'{VARIABLE} must be a whole number of pixels from 1 on, but is {text!r}.')
    return int(text)


def max_pixels(environment: Mapping[str, str] = os.environ) -> int:
    """The largest number of pixels that a picture or map may have; raises ValueError for a wrong setting."""
    return _from_environment(environment.get(VARIABLE) or str(MAX_PIXELS))


def max_bytes() -> int:
    """The largest file of a picture or map."""
    return _BYTES * max_pixels() + (1 << 20)


def check_pixels(width: int, height: int) -> None:
    """Raise a ValueError where a picture has more pixels than are allowed."""
    if width * height > max_pixels():
        raise ValueError(f'has {width}x{height} pixels, more than the {max_pixels()} allowed ({VARIABLE})')


def too_many_scans(data: bytes) -> bool:
    """Whether a JPEG repeats its picture more often than anybody needs: each time costs the time of a whole one."""
    return data.startswith(b'\xff\xd8') and data.count(b'\xff\xda') > _MOST_SCANS


def unpacks_too_far(data: bytes) -> bool:
    """Whether the pixels of a PNG unpack to more than its header says: decoders go on to the end of them.

    A small file cannot take long, whatever is in it, and is not looked into.
    """
    if not data.startswith(_PNG) or len(data) * _MOST_PACKED < _QUICK:
        return False
    width, height = (int.from_bytes(data[place : place + 4], 'big') for place in (16, 20))
    left = (8 * width + 8) * height * 2 + (1 << 16)  # four channels of 16 bits, a byte a row, interlaced
    unpacker, place = zlib.decompressobj(), 8
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], 'big'), data[place + 4 : place + 8]
        packed = data[place + 8 : place + 8 + length] if kind == b'IDAT' else b''
        place += 12 + length
        while packed:
            try:
                left -= len(unpacker.decompress(packed, 1 << 20))
            except zlib.error:
                return False  # which the decoder says
            packed = unpacker.unconsumed_tail
            if left < 0:
                return True
    return False


def kind_of_heif(data: bytes) -> str | None:
    """PIL's name of the format of a picture in ISO's container: 'AVIF', or 'HEIF' (HEIC); None for any other file."""
    if data[4:8] != b'ftyp':
        return None
    end = max(min(int.from_bytes(data[:4], 'big'), 1 << 10), 12)
    brands = {data[8:12], *(data[place : place + 4] for place in range(16, end, 4))}
    if brands & {b'avif', b'avis'}:
        return 'AVIF'
    return 'HEIF' if brands & _HEIF else None


def heif_says_turns(data: bytes) -> bool:
    """Whether a HEIC file says itself how it is to be turned or mirrored: what its EXIF says does not count then."""
    place = 0
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], 'big')
        if data[place + 4 : place + 8] == b'meta':
            head = data[place : place + length]
            return b'irot' in head or b'imir' in head
        if length < 8:
            break
        place += length
    return True


def size_in_header(data: bytes) -> tuple[int, int] | None:
    """Width and height that a decoder will make room for.

    Args:
        data: A JPEG, PNG, WebP, BMP or GIF file.

    Returns:
        None where it is none of them, or cut off before its size; of a PNG also where a part of it claims to be
        longer than the file: decoders make room for that, too.
    """
    if data.startswith(b'\xff\xd8'):
        return _of_jpeg(data)
    if data.startswith(_PNG):
        return _of_png(data)
    if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
        return _of_webp(data)
    if data.startswith(b'BM') and len(data) >= 26:
        if data[14:18] == b'\x0c\0\0\0':
            return _number(data, 18, 2), _number(data, 20, 2)
        sides = (int.from_bytes(data[place : place + 4], 'little', signed=True) for place in (18, 22))
        width, height = map(abs, sides)  # a height below 0: from top to bottom
        return width, height
    if data.startswith((b'GIF87a', b'GIF89a')) and len(data) >= 10:
        return _number(data, 6, 2), _number(data, 8, 2)
    return None


def _number(data: bytes, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], 'little')


def _of_jpeg(data: bytes) -> tuple[int, int] | None:
    place = 2
    while (place := data.find(b'\xff', place)) >= 0:
        place += 1
        while data[place : place + 1] == b'\xff':
            place += 1
        if place + 8 > len(data):
            break
        marker = data[place]
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[place + i : place + i + 2], 'big') for i in (4, 6))
            return width, height
        if marker in (0xD9, 0xDA):  # the pixels, or the end, without a frame before
            break
        place += (
            1 if marker in _ALONE or not marker else 1 + int.from_bytes(data[place + 1 : place + 3], 'big')
        )
    return None


def _of_png(data: bytes) -> tuple[int, int] | None:
    if data[8:16] != b'\0\0\0\rIHDR':
        return None
    place, kind = 8, b''
    while kind != b'IEND' and place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], 'big'), data[place + 4 : place + 8]
        place += 12 + length
    if place > len(data):
        return None
    return int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')


def _of_webp(data: bytes) -> tuple[int, int] | None:
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b'VP8X':
        return _number(body, 4, 3) + 1, _number(body, 7, 3) + 1
    if kind == b'VP8L' and body[:1] == b'\x2f':
        bits = _number(body, 1, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b'VP8 ' and body[3:6] == b'\x9d\x01\x2a':
        return _number(body, 6, 2) & 0x3FFF, _number(body, 8, 2) & 0x3FFF
    return None


def without_texts(data: bytes) -> bytes:
    """A PNG without its texts and profiles, of which libpng writes warnings to the terminal with names as they are."""
    if not data.startswith(_PNG):
        return data
    if not any(kind in data for kind in _TEXTS):  # nearly always
        return data
    parts, place = [data[:8]], 8
    while place + 8 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], 'big')
        if data[place + 4 : place + 8] not in _TEXTS:
            parts.append(data[place:end])
        place = end
    return b''.join(parts)
