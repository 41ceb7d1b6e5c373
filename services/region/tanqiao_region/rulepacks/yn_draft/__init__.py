"""Rule pack of 530000 under the measure on the carbon-resource reserve."""
