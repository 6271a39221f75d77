"""Draws driving scenes with OpenGL and writes down what is in them, pixel for pixel."""
