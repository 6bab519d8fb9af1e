"""Properties of a run, one file each: what must hold while the world is broken, and what again once it is healed."""
