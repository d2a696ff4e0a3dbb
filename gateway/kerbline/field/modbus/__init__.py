"""A technician's work at a Modbus line: who answers there, what do they say, what takes a value."""
