"""Measuring results against truth, with the field's own metrics."""
