"""Tests of the media core and its shell."""
