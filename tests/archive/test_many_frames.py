"""The container of many frames: golden bytes, sharing, what a reader touches, and lies that are refused."""

import io
import struct
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
import xxhash
import zstandard

from neuralvdb.archive import (
    ArchiveReader,
    FieldReader,
    FieldWriter,
    FrameLabel,
    SectionLabel,
    SequenceWriter,
    container,
    put_array,
    take_array,
)
from neuralvdb.archive.directory import FrameEntry, pack_directory, unpack_directory
from neuralvdb.archive.frame_index import take_entries, take_labels
from neuralvdb.archive.section import Extent
from neuralvdb.errors import DamagedFile
from neuralvdb.frame_number import number_in, number_of, padded, ranges_text, text_of
from neuralvdb.platform import read_at

GOLDEN = """
896e657572616c7664620d0a1a0a04000000000003000000a3000000b30000000000000056010000000000002cc4f2dcf90ebd5968656c6c
6f776f726c64001c28b52ffd20229d0000404652414d010000010200fe700cd0fd0e72010505fddc625c0505be693d082101330404071d44
4652414d030000010002000000000000000505be693d083901011a0a815501011a0a8155001628b52ffd20116d0000304652414d07000100
4f609c220505fddc625c3402181328b52ffd201855000020342c1f000100342002000c0c2a0000002b0000001f000000000c0c0200000003
0000000100000000181874ea96a0d3104f295803cdc78c8074062c8a68b1c33986aa01181428b52ffd20185d000018e8030002002b082e30
040006060000210000003201323028b52ffd20323d0100d281060cd0e7e0d20221a2ddea409b0cb5cb67c6d62c1152bb9c602c4103003687
e42440b3d204
"""
same_zstd = pytest.mark.skipif(
    zstandard.ZSTD_VERSION != (1, 5, 7), reason="other versions of zstd may compress to other bytes, as good as these"
)


def made(*frames: tuple[object, list[bytes]]) -> bytes:
    """An archive of frames given as (number, payloads); the first payload of a frame is FRAM's."""
    stream = io.BytesIO()
    writer = SequenceWriter(stream)
    for behind, (number, payloads) in enumerate(frames):
        for grid, payload in enumerate(payloads):
            writer.add(SectionLabel("FRAM", grid=grid), payload, raw_size=len(payload))
        back = (behind % 2, 0)
        writer.end_frame(FrameLabel(number, f"s.{text_of(number)}.vdb".encode(), 1000, behind % 2, back))
    assert writer.close() == len(stream.getvalue())
    return stream.getvalue()


def golden() -> bytes:
    return made((-3, [b"hello", b"world"]), (Decimal("1001.25"), [b"world", b"!", b"!"]), (1002, [b"hello"]))


@pytest.fixture
def opened(tmp_path):
    """Opens the archive of these bytes."""
    archives = []

    def open_archive(data: bytes) -> ArchiveReader:
        path = tmp_path / "s.neuralvdb"
        path.write_bytes(data)
        archives.append(ArchiveReader(path, lambda *_: True))
        return archives[-1]

    yield open_archive
    for archive in archives:
        archive.close()


@same_zstd
def test_bytes():
    assert golden().hex() == bytes.fromhex(GOLDEN).hex()


def test_frames_come_back(opened, spec_reader):
    """Payloads of earlier frames are not stored again; SPEC.md's reader reads the same."""
    data = bytes.fromhex(GOLDEN)
    archive = opened(data)
    payloads = [[archive.read(s) for s in archive.sections_of(position)] for position in range(3)]
    assert payloads == [[b"hello", b"world"], [b"world", b"!", b"!"], [b"hello"]]
    assert [[s.shared for s in archive.sections_of(position)] for position in range(3)] == [
        [False, False],
        [True, False, True],
        [True],
    ]
    assert [archive.directory.group(position) for position in range(3)] == [range(2), range(2), range(2, 3)]
    assert archive.directory.numbers == [-3, Decimal("1001.25"), 1002]
    assert [archive.directory.find(number) for number in (-3, 1001.25, 1002, 7, 9999)] == [0, 1, 2, None, None]
    frames = spec_reader.read_frames(data)
    assert [(f.number, f.name, f.source_size) for f in frames] == [
        (text, b"s.%s.vdb" % text.encode(), 1000) for text in ("-3", "1001.25", "1002")
    ]
    assert [[s.payload for s in f.sections] for f in frames] == payloads


@pytest.mark.parametrize(
    ("text", "number", "canonical"),
    [("0057", 57, "57"), ("-003", -3, "-3"), ("1001.250", Decimal("1001.25"), "1001.25"), ("5.0", 5, "5")],
)
def test_numbers_are_exact(text, number, canonical):
    assert number_of(text) == number
    assert text_of(number_of(text)) == canonical


@pytest.mark.parametrize("text", ["", "1e3", "--1", "1.", "٣", "1" * 33])
def test_other_texts_are_no_numbers(text):
    with pytest.raises(ValueError, match="no number of a frame"):
        number_of(text)


@pytest.mark.parametrize(
    ("stem", "number"),
    [
        ("fluid_data_0001", 1),
        ("smoke_v2.0057", 57),
        ("smoke.-003", -3),
        ("smoke-003", 3),
        ("smoke.1001.25", Decimal("1001.25")),
        ("smoke.-1001.5", Decimal("-1001.5")),
        ("smoke.v2.0057", 57),
        ("shot.0100.0057", 57),
        ("0012", 12),
        ("smoke_0012_v2", 2),
        ("smoke", None),
    ],
)
def test_names_have_numbers(stem, number):
    assert number_in(stem) == number


def test_numbers_in_words():
    numbers = [-2, -1, 0, 1, 4, 6, 8, 20, Decimal("20.5"), 21]
    assert ranges_text(numbers) == "-2-1, 4-8x2, 20-21x0.5"
    assert ranges_text([7]) == "7"
    assert ranges_text([7, 9]) == "7, 9"
    assert ranges_text([7, 8]) == "7-8"
    assert padded(Decimal("-1.25"), 4) == "0001.25"


def test_a_reader_touches_only_what_a_frame_needs(opened, monkeypatch):
    """One of 1000 frames: the header, the directory, an index and its own sections."""
    rng = np.random.default_rng(0)
    data = made(*((number, [rng.bytes(2000), b"the same in all frames" * 9]) for number in range(1, 1001)))
    reads = []
    monkeypatch.setattr(container, "read_at", lambda *args: reads.append(args[2]) or read_at(*args))
    archive = opened(data)
    position = archive.directory.find(57)
    assert [len(archive.read(s)) for s in archive.sections_of(position)] == [2000, 198]
    assert len(reads) == 6  # what kind of file it is, and the five of SPEC.md
    assert sum(reads) < 64 + 52 + 20000 + 200 + 2198
    assert len(data) > 1000 * 2000


def forged(data: bytes, entries: list[FrameEntry], texts: bytes = b"", count: int | None = None) -> bytes:
    """The bytes of frames with another directory, all checksums right; texts: with zeros for bars, empty for those of
    the entries."""
    block = pack_directory(entries)
    if texts:
        columns, out = FieldReader(block, ""), FieldWriter()
        for kind in ("<u8", "<u4", "<u4", "<u8", "<u8", "<u2"):
            put_array(out, take_array(columns, np.dtype(kind), len(entries)))
        out.put_varint(len(texts))
        put_array(out, np.frombuffer(texts.replace(b"|", b"\0"), np.uint8))
        block = out.getvalue()
    count = len(entries) if count is None else count
    head = data[:20] + struct.pack("<IIQQ", count, len(block), len(data), len(data) + len(block))
    return head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head + block)) + data[52:] + block


@pytest.fixture
def frames(opened) -> tuple[bytes, list[FrameEntry]]:
    """The golden archive without its directory, and that."""
    data = golden()
    archive = opened(data)
    return data[: struct.unpack_from("<Q", data, 28)[0]], [archive.directory.entry(i) for i in range(3)]


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        (b"1|a.vdb|1|b.vdb|2|c.vdb|", "the numbers of frames do not grow from group to group"),
        (b"1|a.vdb|02|b.vdb|3|c.vdb|", "b'02' is no number of a frame"),
        (b"1|a.vdb|nan|b.vdb|3|c.vdb|", "'nan' is no number of a frame"),
        (b"1|a.vdb|2|a.vdb|3|c.vdb|", "two frames have the same name"),
        (b"1|a.vdb|2|../b.vdb|3|c.vdb|", "'../b.vdb' is no name for the file of a frame"),
        (b"1|a.vdb|2|.vdb|3|c.vdb|", "'.vdb' is no name for the file of a frame"),
        (b"1|a.vdb|2|.bashrc|3|c.vdb|", "'.bashrc' is no name for the file of a frame"),
        (b"1|a.vdb|2|b.vdb|", "there are no 3 numbers and names"),
        (b"1|a.vdb|2|b.vdb|3|c.vdb", "there are no 3 numbers and names"),
    ],
)
def test_lying_names_are_refused(opened, frames, texts, what):
    with pytest.raises(DamagedFile, match=f"s.neuralvdb: its directory: .*{what}"):
        opened(forged(*frames, texts=texts))


@pytest.mark.parametrize(
    ("count", "what"), [(0, "0 frames are declared"), ((1 << 20) + 1, "1048577 frames"), (2, "a stream holds 24 bytes")]
)
def test_a_lying_number_of_frames_is_refused(opened, frames, count, what):
    with pytest.raises(DamagedFile, match=what):
        opened(forged(*frames, count=count))


@pytest.mark.parametrize("sizes", [(1 << 63, 1 << 63, 3), (0, 0, 0), (60, 60, 10**6)])
def test_lying_sizes_are_refused(opened, frames, sizes):
    data, entries = frames
    lies = [replace(e, extent=replace(e.extent, begin=0, at=s, size=0)) for e, s in zip(entries, sizes, strict=True)]
    with pytest.raises(DamagedFile, match="its frames do not fill the file"):
        opened(forged(data, lies))


@pytest.mark.parametrize(
    ("offset", "flags", "what"),
    [
        (0, 7, "does not lie in a frame before its own"),  # the header
        (10**9, 7, "does not lie in a frame before its own"),  # behind the file
        (-1, 7, "does not lie in a frame before its own"),  # reaches into the frame itself
        (52, 5, "does not lie in a frame before its own"),  # not shared
        (53, 7, "checksum of section FRAM at byte 53"),  # other bytes of an earlier frame
    ],
)
def test_a_lying_reference_is_refused(opened, frames, offset, flags, what):
    """To what is no earlier frame, or to other bytes of one: there are no loops and no references to later frames."""
    data, entries = frames
    last = entries[2]
    source, out = FieldReader(data[last.extent.at :], ""), FieldWriter()
    labels = take_labels(source, 1, None)
    (entry,) = take_entries(source, labels)
    out.put("u8", 0)
    out.put_bytes(zstandard.compress(labels[:4] + bytes([flags]) + labels[5:]))
    out.put_varint(entry.size)
    out.put_varint(entry.raw_size)
    out.put("u32", entry.checksum)
    if flags & 4:
        out.put_varint(last.extent.begin + offset if offset < 0 else offset)
    index = out.getvalue()
    extent = replace(last.extent, size=len(index))
    lie = replace(last, extent=extent, checksum=xxhash.xxh3_64_intdigest(index))
    archive = opened(forged(data[: extent.at] + index, [*entries[:2], lie]))
    archive.check(0)
    with pytest.raises(DamagedFile, match=what):
        archive.check(2)


def test_every_flipped_bit_is_refused(opened):
    data = golden()
    for bit in range(0, 8 * len(data), 11):
        if 14 <= bit // 8 < 18:
            continue  # the versions: an error of its own, or none
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedFile):
            archive = opened(bytes(changed))
            for position in range(3):
                archive.check(position)


@pytest.mark.parametrize("groups", [(1, 0, 0), (0, 2, 0), (0, 1, 1), (0, 1, 31)])
def test_lying_groups_are_refused(opened, frames, groups):
    data, entries = frames
    lies = [replace(e, label=replace(e.label, behind=n)) for e, n in zip(entries, groups, strict=True)]
    with pytest.raises(DamagedFile, match="its frames are in no groups"):
        opened(forged(data, lies))


@pytest.mark.parametrize("back", [(2, 0), (0, 2), (31, 1), (1, 1), (31, 63)], ids=str)
def test_frames_that_no_group_has_before_are_refused(opened, frames, back):
    """Those of another group, later ones and one that is named twice: there are no loops."""
    data, entries = frames
    lies = [replace(e, label=replace(e.label, back=back if e is entries[1] else (0, 0))) for e in entries]
    with pytest.raises(DamagedFile, match="coded from others than two earlier ones of their group"):
        opened(forged(data, lies))


def test_frames_of_a_group_may_lie_in_any_order(opened, spec_reader):
    """They are given back by number; the frames that one needs are those that it is coded from, and so on."""
    order, backs = (0, 8, 4, 2, 1, 3, 6), ((0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (2, 3), (4, 5))
    stream = io.BytesIO()
    writer = SequenceWriter(stream)
    for behind, (number, back) in enumerate(zip(order, backs, strict=True)):
        writer.add(SectionLabel("FRAM"), b"%d" % number, raw_size=1)
        writer.end_frame(FrameLabel(number, b"s.%d.vdb" % number, 1000, behind, back))
    for number in (8, 5):  # again, and among those of the group before
        with pytest.raises(ValueError, match=f"frame {number}: numbers of frames grow"):
            writer.end_frame(FrameLabel(number, b"other.vdb", 1000))
    writer.close()
    archive = opened(stream.getvalue())
    directory = archive.directory
    assert directory.numbers == sorted(order)
    for number in order:
        (section,) = archive.sections_of(directory.find(number))
        assert archive.read(section) == b"%d" % number
    needs = {number: [directory.number(at) for at in directory.needs(directory.find(number))] for number in order}
    assert needs == {
        0: [0], 8: [0, 8], 4: [0, 8, 4], 2: [0, 8, 4, 2], 1: [0, 8, 4, 2, 1], 3: [0, 8, 4, 2, 3], 6: [0, 8, 4, 6]
    }  # fmt: skip
    assert [directory.is_needed(at) for at in range(7)] == [True, True, True, True, False, False, False]
    assert directory.waiting(3) == 5
    frames = spec_reader.read_frames(stream.getvalue())
    assert [(frame.number, frame.back) for frame in frames] == [
        (str(number), back) for number, back in zip(order, backs, strict=True)
    ]


def test_ten_thousand_frames_have_a_directory():
    """Of bytes that are not there."""
    count = 10_000
    entries = [
        FrameEntry(FrameLabel(n, b"smoke.%07d.vdb" % n, 5), Extent(52 + 9 * n, 56 + 9 * n, 5, 100), n)
        for n in range(count)
    ]
    data = pack_directory(entries)
    assert len(data) < 4 * count
    directory = unpack_directory(data, count, 52, 52 + 9 * count)
    assert len(directory) == count
    assert directory.entry(directory.find(5678)) == entries[5678]


def test_an_archive_that_is_written_can_be_read_after_each_frame(tmp_path):
    """And has the same bytes in the end."""
    expected = made(*((number, [b"hello %d" % number, b"world"]) for number in range(1, 31)))
    path = tmp_path / "s.neuralvdb"
    with open(path, "w+b") as stream:
        writer = SequenceWriter(stream)
        for number in range(1, 31):
            for grid, payload in enumerate((b"hello %d" % number, b"world")):
                writer.add(SectionLabel("FRAM", grid=grid), payload, raw_size=len(payload))
            behind = (number - 1) % 2
            writer.end_frame(FrameLabel(number, b"s.%d.vdb" % number, 1000, behind, (behind, 0)))
            writer.flush()
            if number == 1:
                reader = ArchiveReader(path, lambda *_: True)
            reader.read_head()
            assert reader.directory.numbers == list(range(1, number + 1))
            assert [reader.read(s) for s in reader.sections_of(number - 1)] == [b"hello %d" % number, b"world"]
        reader.close()
        writer.close()
    assert path.read_bytes() == expected


def test_frames_that_no_directory_holds_are_refused_at_once():
    writer = SequenceWriter(io.BytesIO())
    with pytest.raises(ValueError, match="at least one"):
        writer.close()
    writer.add(SectionLabel("FRAM"), b"hello", raw_size=5)
    writer.end_frame(FrameLabel(7, b"a.vdb", 1000))
    for number, name, size in (
        *((number, b"b.vdb", 0) for number in (7, -1, Decimal("6.5"))),
        *((8, name, 0) for name in (b"a.vdb", b"b", b"a/b.vdb", b".vdb", b"b" * 255 + b".vdb", b"a\0b.vdb")),
        *((8, b"b.vdb", size) for size in (-1, 1 << 64)),
    ):
        with pytest.raises(ValueError, match="frame"):
            writer.end_frame(FrameLabel(number, name, size))
    writer.add(SectionLabel("FRAM"), b"hello", raw_size=5)
    with pytest.raises(ValueError, match="whole frames"):
        writer.close()
    writer.end_frame(FrameLabel(8, b"b.vdb", 1000))
    writer.close()
    for call in (writer.close, lambda: writer.end_frame(FrameLabel(9, b"c.vdb", 1000))):
        with pytest.raises(ValueError, match="closed"):
            call()
