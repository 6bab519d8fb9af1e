"""The p2psip package: empty on purpose, so that anybody may import `p2psip.base`."""
