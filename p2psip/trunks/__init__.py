"""Conventional providers: registrations with them, who may call through them and be called, and whether they are well."""
