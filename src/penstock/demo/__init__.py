"""The demonstration: real departures of 2013, two versions of a delay model, one server, one client.

Run it with `python -m penstock.demo` (needs the extra `demo`). `flights` prepares the data, `train` builds
the repository, `__main__` starts the server, asks it and prints what came back.
"""
