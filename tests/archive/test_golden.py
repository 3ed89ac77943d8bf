"""Golden bytes: these archives were written in versions 1.0 and 1.1 and mean these grids, for ever.

A test run never writes them. Where a change of format is meant, the version in the header changes too.
"""

import io
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import zstandard

from neuralvdb import topology, values
from neuralvdb.archive import ArchiveWriter, FieldReader, FieldWriter, SectionLabel, take_array
from neuralvdb.codec.encode import FrameOutput, encode_frame
from neuralvdb.codec.frame import FrameReader
from neuralvdb.settings import CompressSettings
from neuralvdb.topology import Topology, lossless
from neuralvdb.values.context import EncodeContext
from neuralvdb.volume import InnerLevel, LeafLevel, Root, Storage, Tree, VolumeGrid

CONTAINER = """
896e657572616c7664620d0a1a0a01000100000003000000520000003a000000000000008c00000000000000ab5c3dfbdbb725b368656c6c
6f2128b52ffd20904d020014034142434400000300040700000005000201000000000000fddc625c55e8559501011a0a81558e49bb5f4546
47480305050008006390085c76aae441c74017f80fc9724709d0c847
"""
ARCHIVE_1_0 = """
896e657572616c7664620d0a1a0a01000000000005000000770000008c020000000000000303000000000000b1abc6f2f38ce11401000000
01000000000c0c0000000000f0ffff00200000000c0c001000000000000000000000000101010180201428b52ffd60000f55000018000200
0100faf7c1100180201428b52ffd60000f550000180008000100faf7c1100180041528b52ffd6000015d0000180010000200ef40610cd801
80041328b52ffd6000014d00001080000100fb2ac00201401428b52ffd20405d000018001000020060c12460030000020200380000020200
3d0001010000000000000000000000000000000001000404cdcccc3d0001010000000000000000000000000000000001000404cdcccc3d00
01010301401928b52ffd20408500004000ffffffffff0f00020060b1065c0100000000000000000000000001000404cdcccc3d0000020200
3800000202003d0001010000000000000000000000000000000001000404cdcccc3d00010100000000000000000000000000000000010004
04cdcccc3d0001010301401928b52ffd20408500004000ffffffffff0f00020060b1065c0100000000000000000000000000000202003a00
0a0a3031323334353637383901ea01bb0128b52ffd20ea9505005409e00000000a002430313233343536372d383961622d636465662d2d04
e1210103000000016110547265655f666c6f61745f355f345f3300046d657461036d617010cf572059ddd3bd3d038e2d28d04681ce000000
4d0001038184808180020003611e31e16a07d1a67c6bad8307896bffad6685010169696e74333200e353667619ec664b49655fc9692165fb
0001004d02000000000b005b0901b2fe6ac0e1d823086c9a0a790340c0cdb86c0636802228b52ffd20f0750300c404544f504f0100000001
00a15924e8a9619a5e84a6cb56414c5376084802e342bc7c6d0723e674ab66e6b37c7f5283424c4f42020d0aaa120654aec2e34b4652414d
ffc0eac5999ee75ca0ff8a1220603b0759e465c5c0354ff2c92c137369bf2d945c4c6677a2498c3326d72e
"""
ARCHIVE_FRAM_2 = """
896e657572616c7664620d0a1a0a010001000000050000006a0000006f02000000000000d9020000000000008fde46ee23ad037101000000
01000000000c0c0000000000f0ffff00200000000c0c001000000000000000000000000101010180201428b52ffd60000f55000018000200
0100faf7c1100180201428b52ffd60000f550000180008000100faf7c1100180041528b52ffd6000015d0000180010000200ef40610cd801
80041328b52ffd6000014d00001080000100fb2ac00201401428b52ffd20405d000018001000020060c12460030000020200380000020200
3d0001010000000000000000000000000000000001000404cdcccc3d0001010000000000000000000000000000000001000404cdcccc3d00
01010301401928b52ffd20408500004000ffffffffff0f00020060b1065c0100000000000000000000000001000404cdcccc3d0000020200
3800000202003d0001010000000000000000000000000000000001000404cdcccc3d00010100000000000000000000000000000000010004
04cdcccc3d0001010301401928b52ffd20408500004000ffffffffff0f00020060b1065c0100000000000000000000000000000202003a00
0a0a3031323334353637383904ea019e0128b52ffd20eaad04001407e0313233343536372d383961622d636465662d2d04e121010361046d
657461036d617010cf572059ddd3bd3d038e2d28d04681ce4d0001038184808180020003611e31e16a07d1a67c6bad8307896bffad668501
01690000e353667619ec664b49655fc9692165fb0001004d02000000000d005b0998f63ce3702c4160aa00c0ccc445dc326acaeeb5000637
edb269857c282128b52ffd20f00d0300c403544f504fa15924e8a9619a5e84a6cb76084802e342bc7c6d0723e674ab66e6b37c7f5283424c
4f420d0aaa120654aec2e34ba3ea8af24b76a54fb71c0e20306326fb59c82e2300ec18aee0a0a473d65d6601b818b2cb1700c748c698824e
59
"""
ARCHIVE = """
896e657572616c7664620d0a1a0a010001000000050000006e0000008f02000000000000fd020000000000007fbd0c449ee232b001000000
01000000000c0c0000000000f0ffff00200000000c0c001000000000000000000000000101010180201428b52ffd60000f55000018000200
0100faf7c1100180201428b52ffd60000f550000180008000100faf7c1100180041528b52ffd6000015d0000180010000200ef40610cd801
80041328b52ffd6000014d00001080000100fb2ac00201401428b52ffd20405d000018001000020060c12460030000020200380000020200
3d0001010000000000000000000000000000000001000404cdcccc3d0001010000000000000000000000000000000001000404cdcccc3d00
01010301401928b52ffd20408500004000ffffffffff0f00020060b1065c0100000000000000000000000001000404cdcccc3d0000020200
3800000202003d0001010000000000000000000000000000000001000404cdcccc3d00010100000000000000000000000000000000010004
04cdcccc3d0001010301401928b52ffd20408500004000ffffffffff0f00020060b1065c0100000000000000000000000000000202003a00
0a0a30313233343536373839049002be0128b52ffd601000a50500d408e0313233343536372d383961622d636465662d2d04e12101036104
6d657461036d617010cf572059ddd3bd3d038e2d28d04681ce4d0001038184808180020003611e31e16a07d1a67c6bad8307896bffad6685
0101690000e353667619ec664b49655fc9692165fb0001004d020102030405060708090a0b0c0d0e0f10101112131415161718191a1b1c1d
1e1f0e00dd89655bb598f63ce3702c4160aa00c0ccc445dc326acaeeb5000637edb269857c282128b52ffd20f02d0300d403544f504fa159
24e8a9619a5e84a6cb76084802e342bc7c6d0723e674ab66e6b37c7f5283424c4f420d0aaa120654aec2e34b03c3108c59d0baaac87c930f
20306366720f4c96d9d11923245196d9e520a373da5d66017831b3cb17018ff18c31054db2
"""
RECORD = "ff 3412 78563412 efcdab8967452301 feffffff ac02 03616263"

same_zstd = pytest.mark.skipif(
    zstandard.ZSTD_VERSION != (1, 5, 7), reason="other versions of zstd may compress to other bytes, as good as these"
)
versions = pytest.mark.parametrize("archive", [ARCHIVE_1_0, ARCHIVE_FRAM_2, ARCHIVE], ids=["1.0", "FRAM 2", "FRAM 3"])


def nodes(count: int, slots: int, **set_slots: int) -> dict[str, np.ndarray]:
    """Masks (count, slots / 8) with one bit set each: in node 0, the slot given."""
    masks = {name: np.zeros((count, slots // 8), np.uint8) for name in ("child", "active")}
    for name, slot in set_slots.items():
        masks[name][0, slot // 8] |= 1 << slot % 8
    return masks


def golden_tree() -> Tree:
    """One leaf below one lower and one upper node, a root tile, a tile on every level and two classes of leaf slots."""
    root = Root(
        np.float32(0.5),
        np.array([[0, -4096, 8192]], np.int32),
        np.array([[4096, 0, 0]], np.int32),
        np.array([1], np.uint8),
        np.array([1.25], np.float32),
    )
    levels = []
    for slots, child, active in ((32768, 9, 11), (4096, 100, 7), (512, None, 300)):
        masks = nodes(1, slots, active=active, **({} if child is None else {"child": child}))
        values = np.full((1, slots), 0.5, "f4")
        level = LeafLevel(masks["active"], values) if child is None else InnerLevel(**masks, values=values)
        level.values[0, active] = 0.1
        if child is not None:
            level.values[0, child] = 0
        levels.append(level)
    levels[2].values[0, 256:300] = -0.5
    return Tree(root, *levels)


class Source:
    """A .vdb file of two grids that share their topology and of one serial grid."""

    version, openvdb_version, size, metadata = 224, (10, 0), 4321, b"\0\0\0\0"
    uuid = b"01234567-89ab-cdef-0123-456789abcdef"

    def __init__(self) -> None:
        half = golden_tree()
        half.leaf.values[0, 300] = 0.75
        self.grids = [
            VolumeGrid(b"a", "Tree_float_5_4_3", False, Storage.TREE, b"", b"meta", b"map", golden_tree()),
            VolumeGrid(b"a\x1e1", "Tree_float_5_4_3", True, Storage.TREE, b"", b"meta", b"map", half),
            VolumeGrid(b"i", "Tree_int32_5_4_3", False, Storage.SERIAL, b"", b"", b"map", blob=b"0123456789"),
        ]
        self.entries = [SimpleNamespace(grid_pos=100 * i, end_pos=100 * i + 77) for i in range(3)]

    def read(self, index: int) -> VolumeGrid:
        return self.grids[index]

    def hash_bytes(self) -> bytes:
        return bytes(range(16))


def encoded(threads: int = 1) -> bytes:
    """Without networks, whose weights may be trained anew."""
    stream = io.BytesIO()
    writer = ArchiveWriter(stream)
    by_masks = mock.patch.object(topology, "encode", lambda shape, base, threads, device: (0, lossless.encode(shape)))
    with by_masks, mock.patch.object(EncodeContext, "settings_hash", bytes(range(16, 32))):
        context = EncodeContext.of(CompressSettings(threads=threads, quality="lossless"))
        encode_frame(FrameOutput(writer, lambda _: None), Source(), [0, 1, 2], context)
    writer.close()
    return stream.getvalue()


def container() -> bytes:
    stream = io.BytesIO()
    writer = ArchiveWriter(stream)
    writer.add(SectionLabel("ABCD", codec=3, version=4, grid=6, part=7, required=False), b"hello", raw_size=258)
    writer.add(SectionLabel("FRAM"), b"!", raw_size=0)
    writer.add(SectionLabel("EFGH"), b"hello", raw_size=5)
    writer.close()
    return stream.getvalue()


@same_zstd
def test_container_bytes():
    assert container().hex() == bytes.fromhex(CONTAINER).hex()


@same_zstd
@pytest.mark.parametrize("threads", [1, 2])
def test_archive_bytes(threads):
    assert encoded(threads).hex() == bytes.fromhex(ARCHIVE).hex()


@versions
def test_the_golden_archive_decodes(tmp_path, archive):
    """Whatever the library versions: these bytes give this table and these grids."""
    path = tmp_path / "golden.neuralvdb"
    path.write_bytes(bytes.fromhex(archive))
    with FrameReader(path) as frame:
        table = frame.table
        assert (table.version, table.openvdb_version, table.source_size, table.complete) == (224, (10, 0), 4321, True)
        assert table.left_out == ()
        assert (table.uuid, table.metadata) == (Source.uuid, Source.metadata)
        hashes = (bytes(range(16)), bytes(range(16, 32))) if archive is ARCHIVE else (b"", b"")
        assert (table.source_hash, table.settings_hash) == hashes
        assert [(g.leaves, g.active_tiles, g.active_voxels) for g in table.grids[:2]] == [
            (1, 3, 4096**3 + 128**3 + 513)
        ] * 2
        assert [(g.topology_of, g.source_size, g.half) for g in table.grids] == [
            (0, 77, False),
            (0, 77, True),
            (2, 77, False),
        ]
        assert [(s.kind, s.grid) for s in frame.archive.sections] == [
            ("TOPO", 0),
            ("VALS", 0),
            ("VALS", 1),
            ("BLOB", 2),
            ("FRAM", 0xFFFFFFFF),
        ]
        for index, made in enumerate(Source().grids):
            read = frame.read(index)
            assert (read.unique_name, read.metadata, read.transform) == (
                made.unique_name,
                made.metadata,
                made.transform,
            )
            assert read.blob == made.blob
            for level, expected in zip(
                read.tree.levels if read.tree else (), made.tree.levels if made.tree else (), strict=True
            ):
                assert level.values.tobytes() == expected.values.tobytes()
                assert level.active.tobytes() == expected.active.tobytes()


@versions
def test_the_golden_archive_decodes_by_the_specification(tmp_path, spec_reader, archive):
    path = tmp_path / "golden.neuralvdb"
    path.write_bytes(bytes.fromhex(archive))
    (frame,) = spec_reader.read_archive(path)
    assert [grid.unique_name for grid in frame.grids] == [b"a", b"a\x1e1", b"i"]
    leaf = frame.grids[1].arrays["leaf values"].view("<f4").reshape(-1)
    assert leaf.tobytes() == Source().grids[1].tree.leaf.values.tobytes()
    assert frame.grids[2].blob == b"0123456789"


def test_record_bytes():
    out = FieldWriter()
    for kind, value in (("u8", 255), ("u16", 0x1234), ("u32", 0x12345678), ("u64", 0x0123456789ABCDEF), ("i32", -2)):
        out.put(kind, value)
    out.put_varint(300)
    out.put_bytes(b"abc")
    assert out.getvalue() == bytes.fromhex(RECORD)


CLASSES = {  # inactive values of a leaf over background 0.5 -> its class
    0: [0.5],
    1: [-0.5],
    2: [7.0],
    3: [0.5, -0.5],
    4: [0.5, 7.0],
    5: [-0.5, 7.0],
    6: [7.0, 8.0],
    7: [0.5, 7.0, 8.0],
}


def classed_tree() -> Tree:
    """A leaf of every class below one lower and one upper node; every 512th slot active."""
    upper, lower = nodes(1, 32768, child=0), nodes(1, 4096)
    lower["child"][0, 0] = 255
    values_ = [np.full((1, slots), 0.5, np.float32) for slots in (32768, 4096)]
    values_[0][0, 0] = values_[1][0, :8] = 0
    leaves = np.array([np.resize(np.array(held, np.float32), 512) for held in CLASSES.values()])
    active = np.zeros((8, 64), np.uint8)
    active[:, 63] = 128
    leaves[:, 511] = 3
    empty = np.zeros((0, 3), np.int32)
    root = Root(np.float32(0.5), np.zeros((1, 3), np.int32), empty, np.zeros(0, np.uint8), np.zeros(0, np.float32))
    levels = (
        InnerLevel(upper["child"], upper["active"], values_[0]),
        InnerLevel(lower["child"], lower["active"], values_[1]),
    )
    return Tree(root, *levels, LeafLevel(active, leaves))


def take_values(source: FieldReader, count: int) -> None:
    """Passes over `count` values of one component."""
    take_array(source, np.dtype(("<f2", "<f4")[source.take("u8")]), count)


def test_every_class_of_nodes_is_taken_and_comes_back():
    """The class streams of a VALS section name the classes of SPEC.md's table."""
    tree = classed_tree()
    payload = values.encode(tree)
    source, node_classes = FieldReader(payload, "here"), []
    for count in (1, 0):  # background, root tiles
        take_values(source, count)
    for level in tree.levels:
        node_classes.append(take_array(source, np.dtype("u1"), len(level)).tolist())
        if len(level) == 1:  # no selection, a, b, own inactive values, active values
            take_array(source, np.dtype("u1"), 0)
            for _ in range(4):
                take_values(source, 0)
    assert node_classes == [[0], [0], list(CLASSES)]
    back = values.decode(payload, Topology.of(tree), np.dtype("f4"), 1, values.raw_size(tree), "here")
    assert back.leaf.values.tobytes() == tree.leaf.values.tobytes()


def test_topology_bytes_begin_with_the_counts():
    payload = lossless.encode(Topology.of(golden_tree()))
    source = FieldReader(payload, "here")
    assert (source.take("u32"), source.take("u32")) == (1, 1)
    assert take_array(source, np.dtype("<i4"), 3).tolist() == [0, -4096, 8192]
    assert take_array(source, np.dtype("<i4"), 3).tolist() == [4096, 0, 0]
