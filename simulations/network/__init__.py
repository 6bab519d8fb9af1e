"""What lies between simulated hosts: latency, loss, bandwidth, NATs and partitions, on virtual time. No datagram is looked into."""
