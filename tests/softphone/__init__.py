"""Tests of the softphone."""
