"""What each kind of asset does: pure steps over time and inputs, no I/O and no clock."""
