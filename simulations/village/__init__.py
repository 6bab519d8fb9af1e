"""Whole nodes with phones by the hundred on virtual time: the code of production from the phone's INVITE to the relayed packet."""
