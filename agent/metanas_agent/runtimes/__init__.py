"""Runtimes that can time a layer, one file each; probed in a child process."""
