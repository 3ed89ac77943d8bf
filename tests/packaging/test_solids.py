"""The parts that data/generate.py is made of: distances to meshes, and flows that expand and have walls."""

import sys
from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("torch") is None, reason="torch is absent; data/ needs it"),
]


@pytest.fixture(autouse=True)
def scripts(root, monkeypatch):
    """data/ on the path, and its modules forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(root / "data")
    yield
    for name in set(sys.modules) - before:
        if str(root / "data") in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_distance_to_a_fine_torus_is_the_formula():
    import torch
    from mesh import mesh_distance, revolved, triangles

    angle = torch.arange(40) * (2 * torch.pi / 40)
    profile = torch.stack([9 + 4 * angle.cos(), 4 * angle.sin()], dim=-1)
    vertices = revolved(profile, torch.ones(90, 40)) + torch.tensor([16.2, 7.9, 15.7])
    distances = mesh_distance(triangles(vertices), (32, 16, 32), 5)
    x, y, z = torch.meshgrid(torch.arange(32) - 16.2, torch.arange(16) - 7.9, torch.arange(32) - 15.7, indexing="ij")
    truth = torch.hypot(torch.hypot(x, z) - 9, y) - 4
    assert (distances - truth.clamp(-5, 5)).abs().max() < 0.03


def test_a_corner_is_as_far_as_it_is():
    import torch
    from mesh import mesh_distance, triangles
    from solids import box

    ring = torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    # a square, drawn four times: at a point, at both ends of a beam, and at a point again
    ends = torch.tensor([[0.0, 2.0], [0.0, 4.0], [8.0, 4.0], [8.0, 2.0]])
    vertices = torch.stack(
        [torch.cat([torch.full((4, 1), x), (ring - 2) * (0 if size == 2 else 1) + 2], 1) for x, size in ends]
    )
    distances = mesh_distance(_solid(triangles(vertices)) + 5.25, (19, 15, 15), 4)
    points = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in (19, 15, 15)], indexing="ij"), dim=-1)
    truth = box(points - torch.tensor([9.25, 7.25, 7.25]), torch.tensor([4.0, 2.0, 2.0]))
    assert (distances - truth.clamp(-4, 4)).abs().max() < 1e-4


def _solid(mesh):
    """The triangles that have an area."""
    import torch

    return mesh[torch.linalg.cross(mesh[:, 1] - mesh[:, 0], mesh[:, 2] - mesh[:, 0]).norm(dim=-1) > 1e-6]


@pytest.mark.parametrize("tank", [False, True])
def test_a_flow_has_the_outflow_asked_for(tank):
    import torch
    from solver import PressureSolver, divergence

    torch.manual_seed(1)
    shape = (9, 7, 8)
    outflow = torch.zeros(8, 6, 7)
    outflow[3:5, 2:4, 3:5] = 0.4
    flow = PressureSolver(shape, "cpu", tank).project(torch.randn(3, *shape), outflow)
    assert (divergence(flow) - outflow).abs().max() < 1e-4
    assert not flow[1, :, 0].any()
    assert (not any(flow[a].select(a, end).any() for a in (0, 2) for end in (0, -1))) == tank
