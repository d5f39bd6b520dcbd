"""The commands `metanas` and `metanas-profile`."""
