"""What the application holds: loggers, calls being timed, usage."""
