"""Simulated game providers and a simulated platform: real HTTP servers that misbehave on demand.

Nothing here imports the rest of the gateway, so what they say about it is a stranger's view.
"""
