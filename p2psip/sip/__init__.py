"""SIP as a core: messages, digest, transactions, dialogs, SDP (RFC 3261 and companions), and its trio shell."""
