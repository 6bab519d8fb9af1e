"""The overlay: sealed frames, signed records and a Kademlia DHT as a synchronous core, and its trio shell."""
