"""What each committed engine is worth: one file per engine, `report(*, threads=1) -> str` (Markdown).

Every engine runs as the product runs it, beside a reference, with the same code on the same pictures.
`python -m engines.evaluate --all` prints them all.
"""
