"""The RPCs off the hot path: what the data plane hands over as bytes and Python answers with bytes.

`dispatch` takes the calls and turns errors into statuses; `inference`, `repository` and `reflection` answer
them.
"""
