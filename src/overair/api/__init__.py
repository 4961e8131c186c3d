"""The management API: published versions, their shapes and status words."""
