"""Gateways beside each other on one task: 50 Modbus units of 100 registers a second, to MQTT.

The racer has one core; source, broker and referee have the other. The referee is a subscriber of
its own: it counts the values that arrive and reads their age from the stamp in register 0.
"""
