"""A laboratory of NATs: network namespaces, kernel NATs by nftables, nodes and phones in them."""
