"""Rule pack of 440300 under the draft submitted for review, with the plan that refers to it."""
