"""The container: lies in header and index are refused by name and cheaply, newer files are read where they can be."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
import xxhash
import zstandard

from neuralvdb.archive import ArchiveReader, ArchiveWriter, FieldWriter, SectionLabel, container, put_array
from neuralvdb.archive.formats import version_written
from neuralvdb.archive.streams import zstd_decompress
from neuralvdb.archive.zstd_dictionary import zstd_dictionary
from neuralvdb.codec.frame import FrameReader
from neuralvdb.errors import DamagedFile, InputError, NeuralVdbError, OutOfMemory, Unsupported
from neuralvdb.platform import read_at

HUGE = 1 << 62


def understood(*what: object) -> bool:
    return what == ("FRAM", 0, 1)


@pytest.fixture
def write(tmp_path):
    """Writes an archive of sections given as (type, payload, options) and gives its path."""

    def written(*sections: tuple[str, bytes, dict]):
        path = tmp_path / "x.neuralvdb"
        with open(path, "wb") as stream:
            writer = ArchiveWriter(stream)
            for kind, payload, given in sections:
                options = dict(given)
                raw_size = options.pop("raw_size", len(payload))
                writer.add(SectionLabel(kind, **options), payload, raw_size=raw_size)
            assert writer.close() == stream.seek(0, 2)
        return path

    return written


@pytest.fixture
def damage(write, reseal):
    """Writes an archive of one section with bytes of the header replaced and its checksum right."""

    def damaged(at: int, form: str, value: int):
        path = write(("FRAM", b"hello", {}))
        data = bytearray(path.read_bytes())
        struct.pack_into(form, data, at, value)
        path.write_bytes(bytes(data) if at in (28, 36) else reseal(bytes(data)))
        return path

    return damaged


def refused_cheaply(
    path,
    error: type[NeuralVdbError],
    what: str,
    reader=lambda path: ArchiveReader(path, understood),
    most: int = 1 << 20,
) -> None:
    """Asserts that opening fails with this error before memory is taken, `most` bytes aside."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=what):
            reader(path)
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def with_entry(path, reseal, at: int, form: str, value: int):
    """The archive at `path`, of one section of 5 bytes, with bytes of its entry replaced and checksums right."""
    data = path.read_bytes()
    entry = bytearray(zstd_decompress(data[57:], 48, zstd_dictionary()))
    struct.pack_into(form, entry, at, value)
    index = zstandard.compress(bytes(entry))
    head = struct.pack("<14sHHHIIQQ", data[:14], 1, 0, 0, 1, len(index), 57, 57 + len(index))
    path.write_bytes(reseal(head + bytes(8) + data[52:57] + index))
    return path


def test_sections_come_back(write):
    path = write(("FRAM", b"hello", {"grid": 4, "part": 5, "raw_size": 6}), ("FRAM", b"!", {}))
    with ArchiveReader(path, understood) as archive:
        first, second = archive.sections
        assert (first.grid, first.part, first.raw_size) == (4, 5, 6)
        assert (archive.read(first), archive.read(second)) == (b"hello", b"!")


def test_equal_payloads_are_stored_once(write):
    """Whatever else the sections are; those that are not equal stay apart."""
    once = write(("FRAM", b"hello" * 9, {}), ("FRAM", b"jello" * 9, {"grid": 1}))
    size = once.stat().st_size
    path = write(*(("FRAM", word * 9, {"grid": i}) for i, word in enumerate((b"hello", b"jello", b"hello", b"jello"))))
    assert path.stat().st_size < size + 45
    with ArchiveReader(path, understood) as archive:
        assert [archive.read(s) for s in archive.sections] == [b"hello" * 9, b"jello" * 9] * 2
        assert [s.shared for s in archive.sections] == [False, False, True, True]


def test_a_section_that_shares_the_bytes_of_none_is_refused(write, reseal):
    path = with_entry(write(("FRAM", b"hello", {})), reseal, 4, "<B", 3)
    refused_cheaply(path, DamagedFile, "section 0 shares the bytes of none before it")


def test_a_newer_minor_version_is_read(damage):
    with ArchiveReader(damage(16, "<H", 9), understood) as archive:
        assert archive.read(archive.sections[0]) == b"hello"


def test_another_major_version_is_refused_by_number(damage):
    refused_cheaply(damage(14, "<H", 2), Unsupported, "archive version 2 is not 1 or 4; upgrade")


def test_an_unknown_optional_section_is_skipped(write):
    path = write(
        ("XTRA", b"?", {"required": False}), ("FRAM", b"hello", {}), ("FRAM", b"!", {"codec": 7, "required": False})
    )
    with ArchiveReader(path, understood) as archive:
        (section,) = archive.sections
        assert archive.read(section) == b"hello"


@pytest.mark.parametrize(
    ("kind", "codec", "version"), [("XTRA", 0, 1), ("FRAM", 7, 1), ("FRAM", 0, 2)], ids=["type", "codec", "version"]
)
def test_an_unknown_required_section_is_refused_by_name(write, kind, codec, version):
    path = write((kind, b"?", {"codec": codec, "version": version}))
    refused_cheaply(path, Unsupported, f"needs section {kind} with codec {codec} version {version}, .*upgrade")


def test_an_optional_section_is_skipped_in_a_real_archive(made_archive, tmp_path):
    """Grids decode although the archive holds a section that this version does not know."""
    path = tmp_path / "x.neuralvdb"
    with FrameReader(made_archive) as frame, open(path, "wb") as stream:
        writer = ArchiveWriter(stream)
        writer.add(SectionLabel("NEWS", required=False), b"?", raw_size=1)
        for s in frame.archive.sections:
            writer.add(
                SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid),
                frame.archive.read(s),
                raw_size=s.raw_size,
            )
        writer.close()
        names = [grid.name for grid in frame.grids]
    with FrameReader(path) as again:
        assert [again.read(i).name for i in range(len(names))] == names


@pytest.mark.parametrize(
    ("at", "form", "value", "what"),
    [
        (0, "<B", 0x88, "does not begin like"),
        (20, "<I", (1 << 20) + 1, "declares 1048577 sections"),
        (20, "<I", 1 << 20, "index does not decompress .* instead of 50331648"),
        (24, "<I", 0xFFFFFFFF, "it should have"),
        (28, "<Q", HUGE, "it should have"),
        (36, "<Q", HUGE, f"should have {HUGE} bytes but has"),
    ],
    ids=["magic", "too many sections", "sections", "index size", "index offset", "file size"],
)
def test_a_lying_header_is_refused_cheaply(damage, at, form, value, what):
    refused_cheaply(damage(at, form, value), DamagedFile, what)


@pytest.mark.parametrize("size", [HUGE, (1 << 64) - 1, 4])
def test_a_lying_section_size_is_refused_cheaply(write, reseal, size):
    path = with_entry(write(("FRAM", b"hello", {})), reseal, 24, "<Q", size)
    refused_cheaply(path, DamagedFile, "sections end at byte")


def test_every_flipped_bit_is_refused(write):
    path = write(("FRAM", b"hello", {}))
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        if 14 <= bit // 8 < 16:
            continue  # the major version: another error, tested above
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(changed))
        with pytest.raises(DamagedFile), ArchiveReader(path, understood) as archive:
            archive.read(archive.sections[0])


def test_every_truncation_is_refused(write):
    path = write(("FRAM", b"hello", {}))
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(DamagedFile):
            ArchiveReader(path, understood)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        ArchiveReader(tmp_path / "none", understood)


def table_of(size: int) -> bytes:
    out = FieldWriter()
    put_array(out, np.zeros(100, np.uint8))
    return out.getvalue().replace(b"\x64", struct.pack("B", size), 1)


def test_a_lying_table_is_refused_cheaply(write):
    path = write(("FRAM", table_of(100), {"raw_size": HUGE}))
    refused_cheaply(path, DamagedFile, f"a table of {HUGE} bytes is declared", FrameReader)
    path = write(("FRAM", table_of(100), {"raw_size": (1 << 24) + 1}))
    refused_cheaply(path, DamagedFile, "a table of 16777217 bytes is declared", FrameReader)
    path = write(("FRAM", table_of(100), {"raw_size": 1 << 24}))
    refused_cheaply(path, DamagedFile, "a stream holds 100 bytes where 16777216", FrameReader)


def test_an_archive_without_a_table_is_refused(write):
    refused_cheaply(write(), DamagedFile, "its table is missing", FrameReader)


@pytest.mark.parametrize(("kind", "error"), [("VALS", OutOfMemory), ("TOPO", OutOfMemory)])
def test_a_lying_grid_is_refused_cheaply(made_archive, tmp_path, kind, error):
    """A size in memory beyond this machine's is refused from the index alone."""
    path = tmp_path / "x.neuralvdb"
    with FrameReader(made_archive) as frame, open(path, "wb") as stream:
        writer = ArchiveWriter(stream)
        for s in frame.archive.sections:
            size = HUGE if s.kind == kind else s.raw_size
            writer.add(
                SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid),
                frame.archive.read(s),
                raw_size=size,
            )
        writer.close()
    with FrameReader(path) as frame:
        refused_cheaply(0, error, "this machine has", frame.read)


@pytest.mark.parametrize("kind", ["VALS", "TOPO"])
def test_a_size_that_the_grid_does_not_have_is_refused(made_archive, tmp_path, kind):
    path = tmp_path / "x.neuralvdb"
    with FrameReader(made_archive) as frame, open(path, "wb") as stream:
        writer = ArchiveWriter(stream)
        for s in frame.archive.sections:
            writer.add(
                SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid),
                frame.archive.read(s),
                raw_size=s.raw_size - (s.kind == kind),
            )
        writer.close()
    with FrameReader(path) as frame:
        refused_cheaply(0, DamagedFile, "are declared", frame.read)


@pytest.mark.parametrize("codec", [0, 1])
def test_four_billion_nodes_are_refused_cheaply(made_archive, tmp_path, codec):
    path = tmp_path / "x.neuralvdb"
    payload = struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF)
    with FrameReader(made_archive) as frame, open(path, "wb") as stream:
        writer = ArchiveWriter(stream)
        for s in frame.archive.sections:
            if s.kind == "TOPO":
                label = SectionLabel("TOPO", codec=codec, version=version_written("TOPO", codec), grid=s.grid)
                writer.add(label, payload, raw_size=s.raw_size)
            else:
                writer.add(
                    SectionLabel(s.kind, version=s.version, grid=s.grid), frame.archive.read(s), raw_size=s.raw_size
                )
        writer.close()
    with FrameReader(path) as frame:
        refused_cheaply(0, DamagedFile, "masks need .* bytes but", frame.read)


def test_checksums_are_those_of_the_specification(write):
    data = write(("FRAM", b"hello", {})).read_bytes()
    assert struct.unpack_from("<Q", data, 44)[0] == xxhash.xxh3_64_intdigest(data[:44] + data[57:])
    assert struct.unpack_from("<Q", zstd_decompress(data[57:], 48, zstd_dictionary()), 40)[
        0
    ] == xxhash.xxh3_64_intdigest(b"hello")


def repeated(path, reseal, flags: int, count: int):
    """The archive at `path`, of one section of 5 bytes, whose entry is followed by `count` more with these flags."""
    data = path.read_bytes()
    entry = zstd_decompress(data[57:], 48, zstd_dictionary())
    index = zstandard.compress(entry + (entry[:4] + bytes([flags]) + entry[5:]) * count)
    head = struct.pack("<14sHHHIIQQ", data[:14], 1, 0, 0, count + 1, len(index), 57, 57 + len(index))
    path.write_bytes(reseal(head + bytes(8) + data[52:57] + index))
    return path


def test_no_section_is_empty(write, reseal):
    """So there are no more of them than the file has bytes, but for those that are shared."""
    refused_cheaply(with_entry(write(("FRAM", b"hello", {})), reseal, 24, "<Q", 0), DamagedFile, "section 0 is empty")
    with pytest.raises(ValueError, match="section FRAM of grid 7 is empty"):
        write(("FRAM", b"", {"grid": 7}))


def test_a_million_shared_sections_are_refused_cheaply(write, reseal):
    path = repeated(write(("FRAM", b"hello", {})), reseal, 3, (1 << 20) - 1)
    refused_cheaply(path, DamagedFile, "1048575 sections share the bytes of others, 65536 may", most=100 << 20)


@pytest.mark.slow
def test_the_writer_shares_65536_sections_and_stores_the_others(write):
    path = write(*[("FRAM", b"hello", {"part": i}) for i in range((1 << 16) + 3)])
    with ArchiveReader(path, understood) as archive:
        assert sum(section.shared for section in archive.sections) == 1 << 16
        assert {section.offset for section in archive.sections} == {52, 57, 62}
        assert archive.read(archive.sections[-1]) == b"hello"


def test_a_check_reads_equal_sections_once(write, monkeypatch):
    path, reads = write(*[("FRAM", b"hello" * 9, {"part": i}) for i in range(100)], ("FRAM", b"jello", {})), []
    with ArchiveReader(path, understood) as archive:
        monkeypatch.setattr(container, "read_at", lambda *args: reads.append(args[1:]) or read_at(*args))
        archive.check()
    assert reads == [(52, 45), (97, 5)]


def test_a_check_finds_a_wrong_checksum(write):
    path = write(("FRAM", b"hello", {}), ("FRAM", b"jello", {}))
    path.write_bytes(path.read_bytes().replace(b"jello", b"cello"))
    with ArchiveReader(path, understood) as archive, pytest.raises(DamagedFile, match="checksum of section FRAM"):
        archive.check()


@pytest.mark.parametrize(
    ("label", "raw_size"),
    [
        *((SectionLabel(kind), 1) for kind in ("", "FRA", "FRAME", "FR\u00c4M")),
        *((SectionLabel("FRAM", **{name: -1}), 1) for name in ("codec", "version", "grid", "part")),
        *((SectionLabel("FRAM", **{name: 1 << 32}), 1) for name in ("codec", "version", "grid", "part")),
        *((SectionLabel("FRAM"), size) for size in (-1, 1 << 64)),
    ],
)
def test_a_section_that_no_index_holds_is_refused_at_once(label, raw_size):
    writer = ArchiveWriter(stream := io.BytesIO())
    with pytest.raises(ValueError, match="section"):
        writer.add(label, b"hello", raw_size=raw_size)
    assert (writer.sections, stream.tell()) == ([], 52)


def test_nothing_follows_the_end(monkeypatch):
    writer = ArchiveWriter(stream := io.BytesIO())
    writer.add(SectionLabel("FRAM"), b"hello", raw_size=5)
    monkeypatch.setattr(container, "MAX_SECTIONS", 1)
    with pytest.raises(ValueError, match="at most 1 sections"):
        writer.add(SectionLabel("FRAM"), b"hello", raw_size=5)
    writer.close()
    data = stream.getvalue()
    for call in (writer.close, lambda: writer.add(SectionLabel("FRAM"), b"more", raw_size=4)):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert stream.getvalue() == data
