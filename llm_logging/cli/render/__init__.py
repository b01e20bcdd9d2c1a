"""Results as text: tables, CSV, JSON, Markdown. Values in, text out; nothing here reads files."""
