"""What a line, a question and an answer hold (pydantic), the rules of an entry, and OpenTelemetry's names."""
