"""The FIWARE IoT Agent JSON's dialect of MQTT: measures, commands, and what the agent is told."""
