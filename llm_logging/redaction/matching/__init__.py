"""What detectors are built from: quick tests in linear time, tries of literals, names of secrets."""
