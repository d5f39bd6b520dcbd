"""Find and reach a device."""
