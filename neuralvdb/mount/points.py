"""Where things are mounted, and how that ends. By fusermount3, as libfuse has it."""

from __future__ import annotations

import os
import shutil
import subprocess

from neuralvdb.errors import InputError, OutputError, OutputExists, Unsupported
from neuralvdb.new_folder import make_folder
from neuralvdb.platform import Mounted, mounts

TYPE = "nvdb"
_TOOLS = ("fusermount3", "fusermount")


def mounted_at(target: str) -> Mounted | None:
    """What is mounted on a folder, None where nothing is. A folder of a mount whose process was killed will do."""
    path = os.path.realpath(target)
    return next((mount for mount in reversed(list(mounts())) if mount.folder == path), None)


def check_target(target: str) -> None:
    """Makes the folder to mount on where it is not there. Raises OutputExists where it is in use or not empty,
    OutputError where it cannot be made."""
    mounted = mounted_at(target)
    if mounted is not None:
        raise OutputExists(f"{target}: {mounted.source} is mounted there already; nvdb unmount {target} ends that")
    try:
        make_folder(target)
        if os.listdir(target):
            raise OutputExists(f"{target}: holds files, which a mount would hide; give an empty folder")
    except OSError as error:
        raise OutputError(f"{target}: cannot be mounted on: {error.strerror}") from error


def unmount(target: str, *, force: bool) -> str:
    """Ends the mount on a folder, also one whose process was killed, and gives its source.

    force: programs that have files of it open get errors from now on. Raises InputError where nothing of ours is
    mounted there, OutputError where it is in use or this user may not, Unsupported.
    """
    mounted = mounted_at(target)
    if mounted is None or mounted.kind != f"fuse.{TYPE}":
        raise InputError(f"{target}: {'nothing' if mounted is None else mounted.kind} is mounted there; nothing to end")
    tool = next((tool for tool in _TOOLS if shutil.which(tool)), None)
    if tool is None:
        raise Unsupported("unmounting needs fusermount3: apt-get install fuse3")
    command = [tool, "-u", *(["-z"] if force else []), "--", os.path.realpath(target)]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if ended.returncode:
        reason = ended.stderr.strip().rpartition(": ")[2] or f"{tool} failed"
        busy = "; close what is open in it, or use --force" if "busy" in reason else ""
        raise OutputError(f"{target}: cannot be unmounted: {reason}{busy}")
    return mounted.source
