"""What Blender makes of a .vdb file: python render_bpy.py FILE GRID PICTURE with a Python that has bpy.

Loads the file as a Volume object, renders the scalar grid GRID as smoke with Cycles on the CPU (fixed seed, no
denoising, so that the same volume gives the same pixels), saves PICTURE (.exr: the floats as they were rendered, or
.png) and prints as JSON what Blender sees of the grids and what is in the picture. The camera looks at the middle
of the object's bounding box.
"""

import array
import hashlib
import json
import sys

import bpy
import mathutils

SIZE, SAMPLES, SEED = 96, 16, 7  # pixels, samples per pixel, random seed


def main(path: str, grid: str, picture: str) -> None:
    """Renders `path` to `picture` and prints what was seen."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    volume = bpy.data.volumes.new("volume")
    volume.filepath = path
    if not volume.grids.load():
        raise RuntimeError(f"{path}: {volume.grids.error_message}")
    thing = bpy.data.objects.new("volume", volume)
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.view_layer.update()
    corners = [mathutils.Vector(corner) for corner in thing.bound_box]
    _shade(volume, grid, max(thing.dimensions))
    _light_and_look(corners)
    _render(picture)
    bounds = [list(corner) for corner in corners]
    print(json.dumps({**_described(volume), "bounds": bounds, "picture": _looked_at(picture)}))


def _described(volume) -> dict:
    """Grids and frame data as Blender has them."""
    grids = [
        {
            "name": grid.name,
            "type": grid.data_type,
            "channels": grid.channels,
            "matrix": [list(matrix_row) for matrix_row in grid.matrix_object],
        }
        for grid in volume.grids
    ]
    frames = {name: getattr(volume, name) for name in ("is_sequence", "frame_start", "frame_duration", "frame_offset")}
    return {"grids": grids, "frames": frames, "version": bpy.app.version_string}


def _looked_at(picture: str) -> dict:
    """Size, a digest of the pixels (linear RGBA) and how far their greens are spread."""
    image = bpy.data.images.load(picture)
    pixels = array.array("f", image.pixels)
    greens = sorted(pixels[1::4])
    return {
        "size": list(image.size),
        "digest": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "dark": greens[len(greens) // 20],
        "bright": greens[-len(greens) // 20],
    }


def _shade(volume, grid: str, size: float) -> None:
    """Smoke whose density is `grid`, opaque enough to be seen at `size` world units."""
    material = bpy.data.materials.new("smoke")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    smoke = tree.nodes.new("ShaderNodeVolumePrincipled")
    smoke.inputs["Density Attribute"].default_value = grid
    smoke.inputs["Density"].default_value = 12 / size
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(smoke.outputs["Volume"], output.inputs["Volume"])
    volume.materials.append(material)


def _light_and_look(corners: list) -> None:
    """A sun from the side and a camera that sees the whole box."""
    scene = bpy.context.scene
    low, high = (mathutils.Vector(map(pick, zip(*corners))) for pick in (min, max))  # noqa: B905
    middle, size = (low + high) / 2, (high - low).length
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy = 12
    sun.rotation_euler = (0.9, 0.2, 0.6)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    away = mathutils.Vector((0.5, -1.0, 0.35)).normalized()
    camera.location = middle + away * size * 1.35
    camera.rotation_euler = away.to_track_quat("Z", "Y").to_euler()
    camera.data.clip_end = size * 10
    for thing in (sun, camera):
        scene.collection.objects.link(thing)
    scene.camera = camera


def _render(picture: str) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = SAMPLES
    scene.cycles.seed = SEED
    scene.cycles.use_denoising = False
    scene.cycles.use_adaptive_sampling = False
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    scene.render.film_transparent = False
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "OPEN_EXR" if picture.endswith(".exr") else "PNG"
    scene.render.image_settings.color_depth = "32" if picture.endswith(".exr") else "8"
    scene.render.filepath = picture
    bpy.ops.render.render(write_still=True)


main(*sys.argv[1:])
