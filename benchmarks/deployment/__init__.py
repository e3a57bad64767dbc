"""Clients and servers as processes of their own: load, faults, and two machines."""
