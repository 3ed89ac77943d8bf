"""Archives as ordinary .vdb files: decoded when they are opened, kept in a cache of limited size. README.md beside this
file is for those who run it."""
