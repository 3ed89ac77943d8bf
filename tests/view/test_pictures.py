"""Pictures show what is in the files: checked in the pixels of the PNG."""

import json
import sys

import numpy as np
import pytest

import neuralvdb
from neuralvdb.api.pictures import picture_of_difference, view
from neuralvdb.errors import InputError, NoSuchGrid, OutputExists, Unsupported
from neuralvdb.settings import CompressSettings, ViewSettings
from neuralvdb.vdb import GridProperties, from_dense, write_vdb
from neuralvdb.view import Panel, Scale, Strip, comparison_strips, difference_strips, draw_sheet, grid_strip
from neuralvdb.view.panels import difference

Image = pytest.importorskip("PIL.Image")
SIZE = 64


def pixels(path) -> np.ndarray:
    """The picture's pixels (height, width, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def ball(*middle: int, name="density", radius=12.0, components=()) -> "from_dense":
    """Fog of density 1 in a ball, in a box that one faint voxel in each corner makes larger."""
    inside_ball = np.linalg.norm(np.moveaxis(np.indices((SIZE,) * 3), 0, -1) - middle, axis=-1) < radius
    values = np.where(inside_ball, 1.0, 1e-6)
    if components:
        values = np.repeat(values[..., None], 3, axis=-1)
    active = inside_ball.copy()
    active[0, 0, 0] = active[-1, -1, -1] = True
    properties = GridProperties(voxel_size=0.25, half=not components)
    return from_dense(values.astype(np.float32), name=name, active=active, properties=properties)


@pytest.fixture
def fog(tmp_path):
    """A file of a scalar and a vector ball, and of a grid with nothing active."""
    path = tmp_path / "fog.vdb"
    empty = from_dense(np.zeros((8, 8, 8), np.float32), name="nothing", active=np.zeros((8, 8, 8), bool))
    write_vdb(path, [ball(20, 40, 30), ball(20, 40, 30, name="vel", components=(3,)), empty])
    return path


def blobs(image: np.ndarray, dark: bool) -> list[tuple[float, float]]:
    """Middles (x, y) of what is nearly white, or black on white, in each 320 x 320 picture of the first strip."""
    middles = []
    for left in (12, 12 + 320 + 4 + 12 + 74 + 12):
        panel = image[12 + 36 : 12 + 36 + 320, left : left + 320].astype(float).mean(-1)
        y, x = np.nonzero(panel < 128 if dark else panel > 150)
        middles.append((x.mean(), y.mean()) if len(x) else (np.nan, np.nan))
    return middles


def test_view_shows_the_ball_where_it_is(fog, tmp_path):
    report = view(fog, tmp_path / "fog.png")
    image = pixels(tmp_path / "fog.png")
    assert image.shape == (report.height, report.width, 3)
    assert [(grid.name, grid.type, grid.half) for grid in report.grids] == [
        ("density", "float", True),
        ("vel", "vec3s", False),
    ]
    assert report.grids[0].high == 1 and report.grids[0].voxel_size == (0.25,) * 3
    assert report.grids[1].high == pytest.approx(3**0.5)
    assert report.left_out == ["nothing"]
    expected = (20.5 * 5, (SIZE - 40.5) * 5)  # five pixels to a voxel, y up
    assert blobs(image, dark=False)[0] == pytest.approx(expected, abs=5)  # the slice: bright
    assert blobs(image, dark=True)[1] == pytest.approx(expected, abs=5)  # transmittance: dark on white


def test_grids_that_travel_as_bytes_are_left_out(data, tmp_path):
    """A grid of points' indices, of which not even the transform is known, beside fog."""
    report = view(data / "bugs" / "pointindex_and_fog.vdb", tmp_path / "x.png")
    assert len(report.grids) == 1 and len(report.left_out) == 1


@pytest.mark.parametrize(("least", "caption"), [(-1e-6, "transmittance"), (-0.5, "largest magnitude")])
def test_values_below_zero_are_shown_where_they_are_more_than_noise(least, caption):
    grid = ball(20, 40, 30)
    grid.tree.leaf.values[0, 0] = least
    _, strip = grid_strip(grid)
    assert strip.panels[1].caption == f"{caption} along z"
    assert (strip.panels[0].scale.low < 0) == (caption == "largest magnitude")


def test_a_picture_is_whole_or_not_there(fog, tmp_path):
    target = tmp_path / "x.png"
    target.write_bytes(b"mine")
    with pytest.raises(OutputExists):
        view(fog, target)
    with pytest.raises(NoSuchGrid):
        view(fog, target, ViewSettings(grids=("density", "absent"), force=True))
    with pytest.raises(InputError, match="nothing to show"):
        view(fog, target, ViewSettings(grids=("nothing",), force=True))
    assert target.read_bytes() == b"mine"
    first = view(fog, target, ViewSettings(grids=("vel",), force=True))
    assert [grid.name for grid in first.grids] == ["vel"] and target.read_bytes()[:4] == b"\x89PNG"
    assert len(list(tmp_path.iterdir())) == 2


def test_without_pillow_there_is_one_clear_line(fog, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(Unsupported, match=r"^pictures need Pillow; .*neuralvdb\[view\]$"):
        view(fog, tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_equal_files_differ_by_mid_grey(fog, tmp_path):
    picture_of_difference(fog, fog, tmp_path / "x.png", ViewSettings(grids=("density",)))
    image = pixels(tmp_path / "x.png")
    left = 12 + 2 * (320 + 4 + 12 + 74 + 12)
    assert np.unique(image[48 : 48 + 320, left : left + 320]).tolist() == [128]


def test_differences_are_amplified_eight_times():
    original = Panel("slice", np.array([[0.0, 1.0, 2.0, np.nan]]), Scale(0, 4))
    decoded = Panel("slice", np.array([[0.1, 1.0, 1.0, np.nan]]), Scale(0, 4))
    shown = difference(original, decoded)
    assert shown.scale.shares(shown.values)[0].tolist() == pytest.approx([0.5 + 8 * 0.1 / 4, 0.5, 0, 0.5])


@pytest.mark.parametrize("grid_class", ["fog volume", "level set"])
@pytest.mark.parametrize("components", [(), (3,)], ids=["scalar", "vector"])
def test_extreme_values_are_drawn(grid_class, components):
    """NaN, infinities, the largest numbers of both signs, and huge voxels."""
    values = np.tile(np.array([np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 5e-324, 0, 1]), 64).reshape(8, 8, 8)
    values = np.repeat(values[..., None], 3, axis=-1) if components else values
    properties = GridProperties(grid_class=grid_class, voxel_size=1e30)
    grid = from_dense(values, name="a", active=np.ones((8, 8, 8), bool), properties=properties)
    for strips in ([grid_strip(grid)[1]], difference_strips(grid, grid, ""), comparison_strips(grid, [("", grid)])):
        assert draw_sheet(strips)[0][:4] == b"\x89PNG"


def test_hostile_words_and_shapes_make_a_sheet():
    """Names with line ends, no characters of the font, thousands of letters; pictures of one pixel and of long ones."""
    shapes = [(1, 1), (1, 512), (512, 1)]
    panels = tuple(Panel("\n\x1b[31m" * 9, np.full(shape, np.nan), Scale(0, 1)) for shape in shapes)
    png, width, height = draw_sheet([Strip("\u98a8" * 5000 + "\n", panels), Strip("", (panels[0],))])
    assert png[:4] == b"\x89PNG" and width < 3000 and height < 1500


@pytest.mark.slow
def test_the_commands_draw(fog, tmp_path, nvdb):
    """`nvdb view` of an archive and `nvdb diff --image` say in JSON where the pictures are."""
    archive = tmp_path / "fog.neuralvdb"
    neuralvdb.compress(fog, archive, CompressSettings(quality="lossless"))
    done = nvdb("view", archive, "--json")
    (report,) = json.loads(done.stdout)["results"]
    assert done.returncode == 0 and done.stderr == f"nvdb: {archive}: not shown: nothing\n"
    assert report["target"] == str(tmp_path / "fog.png") and len(report["grids"]) == 2
    assert pixels(tmp_path / "fog.png").shape == (report["height"], report["width"], 3)
    assert nvdb("diff", fog, archive, "--image", "d.png").returncode == 0
    assert pixels(tmp_path / "d.png").shape[0] > 4 * 320
