"""Media: STUN, ICE, DTLS-SRTP, RTP as synchronous cores, and the data plane that carries packets."""
