"""Floor 3: registrar, forking and back-to-back calls between phones and the overlay."""
