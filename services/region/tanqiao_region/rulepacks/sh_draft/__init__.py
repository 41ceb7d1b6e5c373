"""Rule pack of 310000 under the draft for public comment."""
