"""Answers made of several questions: chats, trees, errors, checks, tables for SQL, what a page shows."""
