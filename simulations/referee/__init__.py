"""A second implementation as referee: the same small scenario on unmodified `kademlia` and on our own nodes, side by side.

Both stand in the same network model, on virtual time; the same nodes crash, and the same nodes look the same keys up.
`loop.py` lets a program written for asyncio run there; `theirs.py` plays the contest with `kademlia`, `ours.py` with a swarm.
"""
