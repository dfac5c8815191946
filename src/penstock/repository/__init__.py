"""The repository's life: what lies on disk, what is wanted of it, and what is served.

`layout` reads the disk, `policy` decides (pure), `aliases` names versions, `states` says how each one stands,
`view` is what callers see at one moment, `lifecycle` brings what is served in line with what is wanted, and
`watcher` tells it when the disk changed. `preflight` warns at the start of what does not fit.
"""
