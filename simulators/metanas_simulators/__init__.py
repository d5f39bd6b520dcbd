"""Devices that are computed instead of measured."""
