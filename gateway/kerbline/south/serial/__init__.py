"""Serial devices that are no Modbus units: telegrams of text or bytes, read by a profile."""
