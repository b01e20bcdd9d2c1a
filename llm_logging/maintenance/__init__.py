"""What is done to sealed segments: retention, manifest, verify, forget, doctor."""
