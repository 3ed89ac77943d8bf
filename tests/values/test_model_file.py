"""Priors of one's own: files of them, archives that name or carry them, and damaged ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuralvdb import compress, decompress, diff, info, verify
from neuralvdb.archive import ArchiveReader, ArchiveWriter, FieldWriter, SectionLabel, open_table
from neuralvdb.errors import DamagedFile, InputError, MissingPriors
from neuralvdb.settings import Bound, CompressSettings, DecompressSettings, DiffSettings, VerifySettings
from neuralvdb.values import encoder, model_file
from neuralvdb.values.head import take_head, take_networks
from neuralvdb.values.lattice import network_changes, priors
from neuralvdb.values.promise import sample_promise
from neuralvdb.vdb import VdbReader, from_dense, write_vdb

RELATIVE = (Bound(value=0.01, relative=True),)


def other(family: str = "velocity", weight: int = 1, bias: int = 0, shift: int = 0) -> priors.ModelSet:
    """The shipped priors with a few other numbers in one network."""
    shipped = priors.shipped()
    net = shipped.families[family].networks[0, 0, 0]
    changed = replace(
        net,
        w1=np.where(np.arange(net.w1.size).reshape(net.w1.shape) == 7, weight, net.w1).astype(np.int8),
        b2=net.b2 + np.int32(bias),
        shifts=net.shifts + np.int8(shift),
    )
    networks = shipped.families[family].networks | {(0, 0, 0): changed}
    return priors.model_set(shipped.families | {family: priors.make(networks, shipped.families[family].tables)})


@pytest.fixture
def priors_file(tmp_path) -> Path:
    """A file of priors that code fog like those shipped."""
    with open(tmp_path / "my.priors", "wb") as stream:
        model_file.write_models(stream, other(bias=40))
    return tmp_path / "my.priors"


@pytest.fixture(scope="session")
def fog(tmp_path_factory) -> Path:
    """A .vdb file of a small fog."""
    x, y, z = np.indices((40, 40, 40)) / 9
    noise = np.random.default_rng(0).normal(size=x.shape) / 20
    values = (2 + np.sin(x) * np.cos(y) + np.sin(z) + noise).astype(np.float32)
    path = tmp_path_factory.mktemp("fog") / "fog.vdb"
    write_vdb(path, [from_dense(values, name="density", active=values > 1)])
    return path


def sections_of(path: Path) -> list[tuple[str, bytes]]:
    """All sections but FRAM, which names the settings."""
    with ArchiveReader(path, lambda *_: True) as archive:
        return [(section.kind, archive.read(section)) for section in archive.sections if section.kind != "FRAM"]


def payload_of(path: Path) -> tuple[bytes, int]:
    with ArchiveReader(path, lambda *_: True) as archive:
        (section,) = [s for s in archive.sections if s.kind == "PRIO"]
        return archive.read(section), section.raw_size


def test_a_file_gives_the_priors_that_were_written(priors_file):
    written, models = other(bias=40), model_file.read_models(priors_file)
    assert models.identity == written.identity != priors.shipped().identity
    assert models.families.keys() == written.families.keys()
    for family, prior in models.families.items():
        for name, array in priors.pack(prior).items():
            assert array.dtype == priors.pack(written.families[family])[name].dtype
            assert np.array_equal(array, priors.pack(written.families[family])[name])


def test_archives_name_priors_and_fail_without(fog, priors_file, tmp_path):
    archive, back = tmp_path / "a.neuralvdb", tmp_path / "back.vdb"
    compress(fog, archive, CompressSettings(bounds=RELATIVE, priors=str(priors_file)))
    identity = model_file.read_models(priors_file).identity.hex()
    for work in (lambda: decompress(archive, back), lambda: verify(archive), lambda: diff(archive, fog)):
        with pytest.raises(MissingPriors, match=f"{identity}.*the keyword priors"):
            work()
    assert not back.exists()
    assert info(archive).missing_priors == identity
    assert info(archive).grids[0].promise.priors == identity
    decompress(archive, back, DecompressSettings(priors=str(priors_file)))
    assert verify(archive, fog, VerifySettings(priors=str(priors_file))).differences == []
    assert diff(archive, back, DiffSettings(priors=str(priors_file))).same


def test_the_wrong_priors_are_as_none(fog, priors_file, tmp_path):
    archive = tmp_path / "a.neuralvdb"
    compress(fog, archive, CompressSettings(bounds=RELATIVE, priors=str(priors_file)))
    with open(tmp_path / "others", "wb") as stream:
        model_file.write_models(stream, other(bias=41))
    with pytest.raises(MissingPriors):
        decompress(archive, tmp_path / "back.vdb", DecompressSettings(priors=str(tmp_path / "others")))


@pytest.mark.slow
@pytest.mark.parametrize("from_file", [True, False])
def test_an_archive_carries_the_families_it_needs(fog, priors_file, tmp_path, from_file):
    settings = CompressSettings(bounds=RELATIVE, priors=str(priors_file) if from_file else "", embed_priors=True)
    archive, without_priors = tmp_path / "a.neuralvdb", tmp_path / "plain.neuralvdb"
    compress(fog, archive, settings)
    compress(fog, without_priors, replace(settings, embed_priors=False))
    models = model_file.read_models(archive)
    assert set(models.families) == {"fog"}
    assert models.identity == (model_file.read_models(priors_file) if from_file else priors.shipped()).identity
    assert info(archive).missing_priors is None
    decompress(archive, tmp_path / "back.vdb")
    decompress(without_priors, tmp_path / "plain.vdb", DecompressSettings(priors=settings.priors))
    assert (tmp_path / "back.vdb").read_bytes() == (tmp_path / "plain.vdb").read_bytes()


def test_an_archive_without_lossy_grids_carries_none(fog, priors_file, tmp_path):
    for name, embed in (("a", False), ("b", True)):
        compress(
            fog, tmp_path / name, CompressSettings(quality="lossless", priors=str(priors_file), embed_priors=embed)
        )
    assert sections_of(tmp_path / "a") == sections_of(tmp_path / "b")
    decompress(tmp_path / "a", tmp_path / "back.vdb")


@pytest.mark.slow
def test_grids_that_the_shipped_priors_code_in_less_do_not_need_ones_own(fog, tmp_path):
    worse = other("fog", bias=1 << 20)
    with open(tmp_path / "worse", "wb") as stream:
        model_file.write_models(stream, worse)
    compress(fog, tmp_path / "a", CompressSettings(bounds=RELATIVE, priors=str(tmp_path / "worse")))
    compress(fog, tmp_path / "b", CompressSettings(bounds=RELATIVE))
    assert sections_of(tmp_path / "a") == sections_of(tmp_path / "b")


def test_what_an_archive_carries_is_for_reading(fog, tmp_path):
    compress(fog, tmp_path / "a", CompressSettings(bounds=RELATIVE, embed_priors=True))
    with pytest.raises(InputError, match="some families only"):
        compress(fog, tmp_path / "b", CompressSettings(bounds=RELATIVE, priors=str(tmp_path / "a")))


def test_files_without_priors_and_priors_without_frames_are_told(fog, priors_file, tmp_path):
    archive = tmp_path / "a.neuralvdb"
    compress(fog, archive, CompressSettings(quality="lossless"))
    with pytest.raises(InputError, match="no priors"):
        model_file.read_models(archive)
    with pytest.raises(InputError, match="holds priors"):
        info(priors_file)
    with pytest.raises(DamagedFile):
        model_file.read_models(fog)


def test_every_truncation_and_any_flipped_bit_is_damage(priors_file):
    payload, _ = payload_of(priors_file)
    rng = np.random.default_rng(0)
    for size in rng.integers(0, len(payload), 40):
        with pytest.raises(DamagedFile):
            model_file._unpack(payload[:size], "test")
    for bit in rng.integers(0, 8 * len(payload), 150):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedFile):
            model_file._unpack(bytes(flipped), "test")


@pytest.mark.parametrize("fault", [{"weight": -128}, {"bias": 1 << 24}, {"shift": 30}, {"shift": -40}], ids=str)
def test_networks_that_might_not_be_exact_are_refused(fault):
    payload, _ = model_file._pack(other(**fault))
    with pytest.raises(DamagedFile, match="network"):
        model_file._unpack(payload, "test")


def test_priors_without_the_family_that_is_needed_are_damage(fog, tmp_path):
    tree = next(iter(VdbReader(fog))).tree
    payload = encoder.encode(tree, sample_promise("fog", max_error=0.01)).payload
    source = open_table(payload, "test")
    head = take_head(source)
    with pytest.raises(DamagedFile, match="without those"):
        take_networks(source, head, priors.shipped().only({"velocity"}), "test")


def test_the_specification_reads_the_same_priors(priors_file, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "oracles"))
    import spec_priors
    from spec_blocks import Cursor

    theirs, models = spec_priors.Priors(*payload_of(priors_file)), model_file.read_models(priors_file)
    assert theirs.name == models.identity
    number = priors.FAMILIES.index("fog")
    net = models.families["fog"].networks[1, 2, 0]
    expected = np.concatenate([getattr(net, field).reshape(-1) for field in priors.PARTS])
    assert np.array_equal(spec_priors.flat(theirs.networks[number][0, 1, 2]), expected)
    rng, changes = np.random.default_rng(1), {}
    for key, donor, quantum, code in (((0, 0, 1), "velocity", 0, 2), ((2, 1, 0), "fog", 1, 24), ((1, 1, 1), 37, 0, 2)):
        net = network_changes.beginning(donor, "fog", models, key)
        start = [network_changes.flat(net, group) for group in network_changes.GROUPS]
        steps = {g: -np.sign(s).astype(np.int64) * (rng.random(len(s)) < 0.2) for g, s in enumerate(start)}
        steps = {g: s * (np.abs(start[g]) >= 4) for g, s in steps.items()}
        same = dict.fromkeys(network_changes.GROUPS, quantum)
        changes[key] = network_changes.NetworkChange(donor, dict.fromkeys(network_changes.GROUPS, code), same, steps)
    out = FieldWriter()
    network_changes.put(out, "fog", models, changes)
    networks_of_spec = spec_priors.fine_tuned(Cursor(out.getvalue()), number, theirs)
    for (level, axis, phase), net in network_changes.networks("fog", models, changes).items():
        numbers = np.concatenate([getattr(net, field).reshape(-1) for field in priors.PARTS])
        assert np.array_equal(spec_priors.flat(networks_of_spec[phase, level, axis]), numbers)


def test_a_carried_section_is_bound_by_its_frame(tmp_path):
    with open(tmp_path / "x", "wb") as stream:
        writer = ArchiveWriter(stream)
        writer.add(SectionLabel("PRIO", grid=0), b"nonsense", raw_size=8)
        writer.close()
    with pytest.raises(DamagedFile, match="cannot be part"):
        info(tmp_path / "x")
