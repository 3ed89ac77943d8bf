"""Renders a .vdb file with Blender's Cycles on the CPU: python -P data/render.py SCENE FILE PICTURE.png

Needs `bpy` (pip install bpy). Nothing is denoised: with equal seeds two files make pictures which differ as the files
do, not as noise does.
"""

import argparse
from dataclasses import dataclass

import bpy
import mathutils

SIZE, SAMPLES = (480, 360), 16  # pixels, samples per pixel


@dataclass(frozen=True)
class Scene:
    """How a volume is looked at. depth: optical depth of a box's length of density 1; sun: its strength; albedo and
    bounces: of light within the volume; kelvin: of temperature 1, no fire where 0; distance: of the camera, in
    diagonals of the box; up: the axis of the file that is."""

    depth: float
    sun: float = 10.0
    albedo: float = 0.7
    bounces: int = 1
    kelvin: float = 0.0
    distance: float = 1.0
    up: str = "Y"


SCENES = {
    "smoke-thin": Scene(depth=6),
    "smoke-thick": Scene(depth=120),
    "cloud": Scene(depth=60, sun=2.5, albedo=0.9, bounces=2, distance=1.05),
    "fire": Scene(depth=12, kelvin=2200, up="Z"),
}


def main() -> None:
    """Renders what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("file")
    parser.add_argument("picture")
    parser.add_argument("--seed", type=int, default=7, help="of the noise")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="per pixel")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, help="in pixels")
    parser.add_argument("--motion", type=float, default=0.0, help="frames of motion blur per unit of the grid velocity")
    args = parser.parse_args()
    render(SCENES[args.scene], args)


def render(scene: Scene, args: argparse.Namespace) -> None:
    """Renders the grids `density` and, of fire, `temperature` of a file."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    volume = bpy.data.volumes.new("volume")
    volume.filepath = args.file
    volume.render.clipping = 0  # else where Cycles begins to march, and so the noise, depends on the smallest values
    if not volume.grids.load():
        raise SystemExit(f"{args.file}: {volume.grids.error_message}")
    if args.motion:
        volume.velocity_grid, volume.velocity_unit, volume.velocity_scale = "velocity", "FRAME", args.motion
        bpy.context.scene.render.use_motion_blur = True
        bpy.context.scene.render.motion_blur_shutter = 1
    thing = bpy.data.objects.new("volume", volume)
    if scene.up == "Y":
        thing.rotation_euler = (1.5707963, 0, 0)
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.view_layer.update()
    volume.materials.append(_material(scene, max(thing.dimensions)))
    _look(scene, [thing.matrix_world @ mathutils.Vector(corner) for corner in thing.bound_box])
    _light(bpy.context.scene, scene.sun)
    _cycles(bpy.context.scene, scene.bounces, args)
    bpy.context.scene.render.filepath = args.picture
    bpy.ops.render.render(write_still=True)


def _material(scene: Scene, size: float) -> bpy.types.Material:
    """Smoke or fire, for a volume `size` world units long."""
    material = bpy.data.materials.new("volume")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    shader = tree.nodes.new("ShaderNodeVolumePrincipled")
    shader.inputs["Density"].default_value = scene.depth / size
    shader.inputs["Color"].default_value = (scene.albedo, scene.albedo, scene.albedo, 1)
    if scene.kelvin:
        shader.inputs["Temperature"].default_value = scene.kelvin
        shader.inputs["Blackbody Intensity"].default_value = 1
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(shader.outputs["Volume"], output.inputs["Volume"])
    return material


def _look(scene: Scene, corners: list[mathutils.Vector]) -> None:
    """A camera that sees the whole box."""
    low, high = (mathutils.Vector([pick(axis) for axis in zip(*corners, strict=True)]) for pick in (min, max))
    middle, size = (low + high) / 2, (high - low).length
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    away = mathutils.Vector((0.5, -1.0, 0.25)).normalized()
    camera.location = middle + away * size * scene.distance
    camera.rotation_euler = away.to_track_quat("Z", "Y").to_euler()
    camera.data.sensor_fit = "VERTICAL"
    camera.data.clip_end = size * 10
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera


def _light(stage: bpy.types.Scene, energy: float) -> None:
    """A sun from the side before a plain grey that hides nothing."""
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy = energy
    sun.rotation_euler = (0.9, 0.2, 0.6)
    stage.collection.objects.link(sun)
    stage.world = bpy.data.worlds.new("sky")
    stage.world.use_nodes = True
    stage.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.05, 0.06, 0.08, 1)


def _cycles(stage: bpy.types.Scene, bounces: int, args: argparse.Namespace) -> None:
    stage.render.engine = "CYCLES"
    stage.cycles.device = "CPU"
    stage.cycles.samples = args.samples
    stage.cycles.seed = args.seed
    stage.cycles.use_denoising = False
    stage.cycles.use_adaptive_sampling = False
    stage.cycles.volume_bounces = stage.cycles.max_bounces = bounces
    stage.render.resolution_x, stage.render.resolution_y = args.size
    stage.view_settings.view_transform = "Standard"
    stage.render.image_settings.file_format = "PNG"
    stage.render.image_settings.color_mode = "RGB"
    stage.render.image_settings.color_depth = "8"
    stage.render.dither_intensity = 0


if __name__ == "__main__":
    main()
