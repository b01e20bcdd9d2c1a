"""What logging holds: record -> entry -> line -> file."""
