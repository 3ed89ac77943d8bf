"""Archives of many frames: what is in them, joined from others and split again. Nothing is coded here.

pack     frames of archives into one archive, and back
"""
