"""Procedurally drawn faces: parameters, their sampling, geometry, light and painting.

The door is :mod:`fsfm_mm.drawn.face_drawing`.
"""
