"""An ESP32 with a stock MicroPython image, module by module; `kerbnode.sim.stock` runs it."""
