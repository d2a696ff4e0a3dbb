"""Air quality: what a sensor's values are worth, what they average to, and what that means."""
