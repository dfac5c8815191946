"""Bundles: a model version as one folder that can be checked, moved and served.

`build` writes one, `loading.open_bundle` verifies and loads one, `archive` packs it as a single file.
The folder holds `bundle.json` (see `manifest`), the model's file, the transforms' state and the golden
examples, side by side.
"""
