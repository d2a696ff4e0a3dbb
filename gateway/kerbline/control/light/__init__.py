"""Light where people are: who may be where, which lamps are full, by which program and rule."""
