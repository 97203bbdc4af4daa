"""Seeded damage to files: of their bytes, their numbers, their texts, and of the parts that a format has."""

import copy
import io
import json
import pickletools
import re
import struct
import zipfile
import zlib

#: What stands where a number is expected.
NUMBERS = (
    0,
    1,
    -1,
    255,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53 + 1,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    10**30,
)
#: What stands where anything is expected; deep and long ones are in :func:`strange`.
VALUES = (
    None,
    True,
    '',
    'x',
    'nan',
    '\x1b[31m\n',
    '../../x',
    'é\udc80',
    [],
    {},
    [[]],
    {'a': {}},
    0.5,
    -0.0,
    1e308,
    1e-320,
)
WORDS = (
    b'null',
    b'true',
    b'NaN',
    b'-Infinity',
    b'1e999',
    b'[]',
    b'{}',
    b'""',
    b'"x"',
    b'[' * 200_000,
    b'{"a":' * 50_000,
)
BAD_UTF8 = (b'\xff', b'\xc3', b'\xed\xa0\x80', b'\xf8\x88\x80\x80\x80', b'\xe2\x80\xa8', b'\x00', b'\x1b[2J')
#: Beginnings of files of other kinds.
OTHERS = (
    b'',
    b'\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR',
    b'\xff\xd8\xff\xe0\x00\x10JFIF\x00',
    b'PK\x03\x04' + bytes(26),
    b'\x93NUMPY\x01\x00v\x00{',
    b'{"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]}',
    b'<!DOCTYPE html><html>',
    b'\x80\x02}q\x00.',
    b'RIFF\xff\xff\xff\x7fWEBPVP8 ',
    b'\x1f\x8b\x08',
    b'II*\x00\x08\x00\x00\x00',
)


def strange(rng):
    """A value that nobody expects."""
    kind = rng.randrange(8)
    if kind < 2:
        return rng.choice(NUMBERS) * rng.choice((1, 1, -1))
    if kind == 2:
        return float(rng.choice(('nan', 'inf', '-inf', '1e300')))
    if kind == 3:
        deep = []
        for _ in range(rng.choice((3, 60, 400))):
            deep = [deep] if rng.random() < 0.5 else {'a': deep}
        return deep
    if kind == 4:
        return rng.choice(('x', 'é', '\n', '0', '/')) * rng.choice((200, 5000, 100_000))
    if kind == 5:
        return [rng.choice(VALUES)] * rng.choice((3, 1000))
    return copy.deepcopy(rng.choice(VALUES))


def tree(value, rng, made=strange):
    """A nested value of which one node is another, or gone, or there twice, or has another name."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places or rng.random() < 0.02:
        return made(rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holder, key = rng.choice(places)
        if isinstance(holder, dict) and key in holder:
            way = rng.randrange(10)
            if way == 0:
                del holder[key]
            elif way == 1:
                holder[rng.choice(('', 'x' * 400, '\x1b[31m', 'é\udc80', '..', 'a.b'))] = holder[key]
            elif way == 2:
                holder[key] = copy.deepcopy(
                    rng.choice([h.get(k) if isinstance(h, dict) else None for h, k in places])
                )
            else:
                holder[key] = made(rng)
        elif isinstance(holder, list) and key < len(holder):
            way = rng.randrange(10)
            if way == 0:
                del holder[key]
            elif way == 1:
                holder.insert(key, holder[key])
            else:
                holder[key] = made(rng)
    return value


def _places(value):
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def as_json(value):
    return json.dumps(value).encode('utf-8', 'surrogatepass')


def flip(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def overwrite(data, rng):
    start = rng.randrange(len(data))
    filler = rng.choice((b'\0', b'\xff', b'A', rng.randbytes(1))) * min(
        rng.choice((1, 4, 16, 200)), len(data) - start
    )
    return data[:start] + filler + data[start + len(filler) :]


def truncate(data, rng):
    return data[: rng.randrange(len(data) + 1)]


def insert(data, rng):
    start = rng.randrange(len(data) + 1)
    return (
        data[:start]
        + rng.choice((rng.randbytes(rng.choice((1, 3, 64))), b'\n', b' ', b'\0' * 512))
        + data[start:]
    )


def cut_out(data, rng):
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 4, 64, 512)) :]


def repeat(data, rng):
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice((1, 16, 512))]
    return data[:start] + part * rng.choice((2, 3, 50)) + data[start:]


def swap(data, rng):
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    size = rng.choice((1, 4, 8, 64))
    return data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size] + data[b + size :]


def number(data, rng):
    """Another binary number: 1, 2, 4 or 8 bytes, either end first."""
    code = rng.choice('BHIQ')
    size = struct.calcsize(code)
    start = rng.randrange(max(len(data) - size, 1))
    value = rng.choice(NUMBERS) % (1 << 8 * size)
    return data[:start] + struct.pack(rng.choice('<>') + code, value) + data[start + size :]


def digits(data, rng):
    """Another number that is written in digits."""
    found = list(re.finditer(rb'-?\d+', data[:200_000]))
    if not found:
        return number(data, rng)
    match = rng.choice(found)
    value = rng.choice(
        (str(rng.choice(NUMBERS)), '-1', '1' * 5000, '1e999', '0' * 40, '0x10', '1_0')
    ).encode()
    return data[: match.start()] + value + data[match.end() :]


def word(data, rng):
    """A word, or bytes that are no text, in the place of a few."""
    start = rng.randrange(len(data))
    return data[:start] + rng.choice(WORDS + BAD_UTF8 * 3) + data[start + rng.choice((0, 1, 8)) :]


def another(data, rng):
    other = rng.choice(OTHERS)
    return other + data[len(other) :] if rng.random() < 0.5 else other


BYTES = (flip, flip, overwrite, truncate, insert, cut_out, repeat, swap, number, number, digits, digits, word)


def of_bytes(data, rng):
    """Damage that knows no format: one to three kinds of it."""
    if rng.random() < 0.02:
        return another(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(BYTES)(data, rng) if data else rng.randbytes(8)
    return data


def of_json(data, rng):
    if rng.random() < 0.4:
        return of_bytes(data, rng)
    return as_json(tree(json.loads(data), rng))


def of_lines(data, rng):
    """Lines of text, each of which may be JSON."""
    if rng.random() < 0.5:
        return of_bytes(data, rng)
    lines = data.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    damage = of_json if lines[place].startswith(b'{') else of_bytes
    lines[place] = damage(lines[place], rng)
    return b''.join(lines)


def of_npy(data, rng):
    """The header, with a length that is right again."""
    if rng.random() < 0.4:
        return of_bytes(data, rng)
    (length,) = struct.unpack('<H', data[8:10])
    header = of_bytes(data[10 : 10 + length], rng)[:65535]
    version = rng.choice((b'\x01\x00', b'\x02\x00', b'\x03\x00')) if rng.random() < 0.2 else data[6:8]
    size = struct.pack('<H' if version == b'\x01\x00' else '<I', len(header))
    return data[:6] + version + size + header + data[10 + length :]


def of_png(data, rng):
    """One chunk, with a checksum that is right again."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack('>I', data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    if rng.random() < 0.3 or not chunks:
        return of_bytes(data, rng)
    which = rng.randrange(len(chunks))
    kind, body = chunks[which]
    if kind == b'IHDR' and rng.random() < 0.5:
        sides = struct.pack('>II', *(rng.choice((0, 1, 7, 20_000, 100_000, 2**31 - 1)) for _ in range(2)))
        body = sides + body[8:]
    else:
        body = of_bytes(body, rng) if body else rng.randbytes(3)
    chunks[which] = (rng.choice((kind, kind, kind, b'zTXt', b'iCCP', b'PLTE', b'tRNS', b'acTL')), body)
    if rng.random() < 0.2:
        chunks.insert(which, rng.choice(chunks))
    sealed = (struct.pack('>I', len(b)) + k + b + struct.pack('>I', zlib.crc32(k + b)) for k, b in chunks)
    return data[:8] + b''.join(sealed)


def of_zip(data, rng):
    """One member, or its name, in an archive that is otherwise whole."""
    if rng.random() < 0.3:
        return of_bytes(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    which = rng.randrange(len(members)) if rng.random() < 0.3 else 0
    name, content = members[which]
    way = rng.randrange(12)
    if way == 0:
        members.pop(which)
    elif way == 1:
        members[which] = (rng.choice(('x', '../x', name + 'x', 'archive/constants.pkl', 'a' * 400)), content)
    elif way == 2:
        members.append((name, of_bytes(content, rng)))
    else:
        damage = of_pickle if name.endswith('.pkl') else of_bytes
        members[which] = (name, damage(content, rng) if content else b'x')
    out = io.BytesIO()
    with zipfile.ZipFile(
        out, 'w', zipfile.ZIP_DEFLATED if rng.random() < 0.02 else zipfile.ZIP_STORED
    ) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def of_pickle(data, rng):
    """Operations that are gone, doubled, moved or have another argument; what follows the pickle stays."""
    if rng.random() < 0.3:
        return of_bytes(data, rng)
    try:
        found = [position for _, _, position in pickletools.genops(data)]
    except ValueError:
        return of_bytes(data, rng)
    ends = [*found[1:], found[-1] + 1]
    steps = [data[a:b] for a, b in zip(found, ends)]
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.randrange(len(steps))
        way = rng.randrange(6)
        if way == 0:
            steps[place] = b''
        elif way == 1:
            steps.insert(place, rng.choice(steps))
        elif way == 2:
            steps[place] = rng.choice(steps)
        elif way == 3:
            steps[place] = rng.choice(
                (b'N', b')', b']', b'}', b'(', b'0', b'K\x01', b'J\xff\xff\xff\x7f', b'R', b'b')
            )
        elif way == 4:
            size = rng.choice((b'\x01\x00\x00\x00\x00\x10', b'\xff\xff\xff\xff\xff\xff\xff\x7f', b'\xff' * 9))
            steps[place] = b'\x8a' + bytes([len(size)]) + size  # LONG1
        else:
            steps[place] = of_bytes(steps[place], rng) if steps[place] else b''
    return b''.join(steps) + data[ends[-1] :]


def of_legacy(data, rng):
    """One of the pickles at the start of torch's legacy format."""
    if rng.random() < 0.3:
        return of_bytes(data, rng)
    stream, starts = io.BytesIO(data), [0]
    for _ in range(5):
        for _ in pickletools.genops(stream):
            pass
        starts.append(stream.tell())
    which = rng.choice((0, 1, 2, 3, 3, 3, 3, 4, 4))
    start, end = starts[which], starts[which + 1]
    return data[:start] + of_pickle(data[start:end], rng) + data[end:]


def of_safetensors(data, rng):
    """The header, with a length that is right again."""
    if rng.random() < 0.3:
        return of_bytes(data, rng)
    length = int.from_bytes(data[:8], 'little')
    header = of_json(data[8 : 8 + length], rng)
    return len(header).to_bytes(8, 'little') + header + data[8 + length :]
